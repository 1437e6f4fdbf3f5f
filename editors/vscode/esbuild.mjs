// Bundles the extension into one file, and with --tests the unit tests; gathers the licences of what went in.
import { build } from "esbuild";
import { readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { slim } from "./slim.mjs";

const LARGEST = 250 * 1024; // bytes; what starts with the editor has to be small
const common = { bundle: true, platform: "node", target: "node20", format: "cjs", external: ["vscode"] };

if (process.argv.includes("--tests")) {
  rmSync("dist/test", { recursive: true, force: true });
  const entryPoints = readdirSync("test").filter((name) => name.endsWith(".test.ts"));
  await build({ ...common, entryPoints: entryPoints.map((name) => join("test", name)), outdir: "dist/test" });
} else {
  const { metafile } = await build({
    ...common,
    entryPoints: ["src/extension.ts"],
    outfile: "dist/extension.js",
    minify: true,
    mangleProps: /^_[a-z]/i, // private by agreement, in ours and in theirs
    legalComments: "none", // they are all in THIRD-PARTY.txt
    plugins: [slim],
    metafile: true,
  });
  writeFileSync("dist/THIRD-PARTY.txt", licences(Object.keys(metafile.inputs)));
  const size = metafile.outputs["dist/extension.js"].bytes;
  console.log(`dist/extension.js: ${Math.ceil(size / 1024)} KB`);
  if (size > LARGEST) throw new Error(`the bundle is larger than ${LARGEST / 1024} KB`);
}

/** The licence of each package of which a file is in the bundle. */
function licences(inputs) {
  const folders = new Set(inputs.filter((path) => path.startsWith("node_modules/")).map(packageOf));
  return [...folders].sort().map(licence).join(`\n${"-".repeat(80)}\n\n`);
}

function packageOf(path) {
  return /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)[0];
}

function licence(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  if (!file) throw new Error(`${name} ${version} has no licence file`);
  return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
}
