import assert from "node:assert/strict";
import { test } from "node:test";
import { type Surroundings, find, places } from "../src/finding";

const WHERE: Surroundings = {
  setting: "",
  folders: ["/srv/book"],
  home: "/home/me",
  environment: { PATH: "/usr/bin:relative:/opt/bin" },
  platform: "linux",
};
const NOTE = "/home/me/.local/share/afterword/editors/server";

function found(where: Partial<Surroundings>, files: Record<string, string>): string | undefined {
  const disk = { isProgram: (path: string) => path in files, read: (path: string) => files[path] ?? "" };
  return find({ ...WHERE, ...where }, disk);
}

test("the workspace's comes first, then the one that installed the extension, then PATH, then the tool folders", () => {
  const files: Record<string, string> = {
    "/srv/book/.venv/bin/afterword-lsp": "",
    [NOTE]: "/srv/afterword/bin/afterword-lsp\n",
    "/srv/afterword/bin/afterword-lsp": "",
    "/opt/bin/afterword-lsp": "",
    "/home/me/.local/bin/afterword-lsp": "",
  };
  for (const expected of [
    "/srv/book/.venv/bin/afterword-lsp",
    "/srv/afterword/bin/afterword-lsp",
    "/opt/bin/afterword-lsp",
    "/home/me/.local/bin/afterword-lsp",
    undefined,
  ]) {
    assert.equal(found({}, files), expected);
    if (expected) delete files[expected]; // eslint-disable-line @typescript-eslint/no-dynamic-delete
  }
});

test("a setting that names a program is the only place, and ~ is the home", () => {
  const files = { "/home/me/x/afterword-lsp": "", "/opt/bin/afterword-lsp": "" };
  assert.equal(found({ setting: "~/x/afterword-lsp" }, files), "/home/me/x/afterword-lsp");
  assert.equal(found({ setting: "/nowhere/afterword-lsp" }, files), undefined);
});

test("nothing is run from a workspace that is not trusted, nor by a relative path", () => {
  const all = places({ ...WHERE, folders: [] }, { isProgram: () => true, read: () => "./afterword-lsp" });
  assert.ok(all.length > 5);
  assert.ok(all.every((path) => path.startsWith("/") && !path.startsWith("/srv/")));
});

test("AFTERWORD_HOME and macOS keep the note elsewhere", () => {
  const files = { "/tmp/h/data/editors/server": "/a/afterword-lsp", "/a/afterword-lsp": "" };
  assert.equal(found({ environment: { AFTERWORD_HOME: "/tmp/h" } }, files), "/a/afterword-lsp");
  const mac = { "/home/me/Library/Application Support/afterword/editors/server": "/a/afterword-lsp", "/a/afterword-lsp": "" };
  assert.equal(found({ platform: "darwin" }, mac), "/a/afterword-lsp");
});
