/**
 * Where `afterword-lsp` may be, in the order in which it is looked for.
 *
 * Knows how people install Python tools; what is on the disk it is told.
 */

import { isAbsolute, join } from "node:path";

export const PROGRAM = "afterword-lsp";

export interface Surroundings {
  /** The setting `afterword.path`; empty for none. */
  readonly setting: string;
  /** Folders of the workspace on this machine, if it is trusted: what lies there would be run. */
  readonly folders: readonly string[];
  readonly home: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly platform: string;
}

export interface Disk {
  isProgram(path: string): boolean;
  /** The text of a small file; empty if there is none. */
  read(path: string): string;
}

/** The program's path; undefined when it is nowhere. A setting that names one is the only place. */
export function find(where: Surroundings, disk: Disk): string | undefined {
  return places(where, disk).find((path) => disk.isProgram(path));
}

export function places(where: Surroundings, disk: Disk): readonly string[] {
  const { environment, home } = where;
  if (where.setting) return [where.setting.replace(/^~(?=\/)/, home)];
  const noted = disk.read(join(dataFolder(where), "editors", "server")).trim();
  const folders = [
    ...where.folders.flatMap((folder) => [join(folder, ".venv", "bin"), join(folder, "venv", "bin")]),
    environment.VIRTUAL_ENV ? join(environment.VIRTUAL_ENV, "bin") : "",
    ...(environment.PATH ?? "").split(":"),
    // An editor that was started from a menu knows less of PATH than a shell does.
    environment.PIPX_BIN_DIR,
    environment.UV_TOOL_BIN_DIR,
    join(home, ".local", "bin"), // pipx, uv, pip --user
    join(home, ".afterword", "bin"), // the virtual environment that the README proposes
    join(home, ".local", "share", "pipx", "venvs", "afterword", "bin"),
    join(home, ".local", "share", "uv", "tools", "afterword", "bin"),
    "/opt/homebrew/bin",
    "/usr/local/bin",
  ];
  const programs = folders.filter((folder) => folder && isAbsolute(folder)).map((folder) => join(folder ?? "", PROGRAM));
  // `afterword install vscode` notes where it was run from: what the workspace says goes before it.
  const nOfWorkspace = 2 * where.folders.length;
  const found = [...programs.slice(0, nOfWorkspace), ...(isAbsolute(noted) ? [noted] : []), ...programs.slice(nOfWorkspace)];
  return [...new Set(found)];
}

/** What must not be lost, as `afterword_trainer.paths` has it. */
function dataFolder({ environment, home, platform }: Surroundings): string {
  if (environment.AFTERWORD_HOME) return join(environment.AFTERWORD_HOME, "data");
  if (platform === "darwin") return join(home, "Library", "Application Support", "afterword");
  return join(environment.XDG_DATA_HOME ?? join(home, ".local", "share"), "afterword");
}
