/**
 * What the user can have done, each in a function; the names are those of package.json.
 *
 * What was asked for and cannot be done is said in one sentence. Nothing else opens a message.
 */

import { execFile } from "node:child_process";
import { release } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import {
  type ExtensionContext,
  type LogOutputChannel,
  type Progress,
  type WorkspaceFolder,
  ProgressLocation,
  Range,
  Selection,
  UIKind,
  Uri,
  commands,
  env,
  version,
  window,
  workspace,
} from "vscode";
import { redacted } from "./diagnosis";
import { allOff, isOn, onAgain, switched, type Enabling } from "./enabling";
import { page } from "./statistics";
import type { Answer, Server } from "./server";
import * as settings from "./settings";
import type { Step } from "./situation";
import { TAUGHT, showMenu } from "./status";

const LOOK_MS = 300; // between two looks at how far reading has come
const READING_MS = 10 * 60 * 1000; // after that it goes on without being shown
const TOLD_MS = 10_000; // what came of something stays in the status bar
const BEFORE = "enableBefore"; // the name of a note: the setting before all was turned off

/** Make the commands work until the extension ends. */
export function registerCommands(context: ExtensionContext, server: Server, log: LogOutputChannel): void {
  const todo: Record<string, (...args: string[]) => unknown> = {
    accept: (suggestion = "") => server.order("accept", suggestion), // the editor runs it once one is taken
    menu: () => showMenu(context, server),
    trigger: () => run("editor.action.inlineSuggest.trigger"),
    toggle: () => toggle(context),
    toggleLanguage: () => settings.enable((before) => switched({ ...settings.enabling(), ...before }, language())),
    learnWorkspace: () => learnWorkspace(context, server, log),
    pause: () => server.order("pause"),
    resume: () => server.order("resume"),
    forgetFile: () => forgetFile(server),
    whyNoSuggestion: () => whyNoSuggestion(server),
    statistics: () => statistics(server),
    report: () => report(server),
    settings: () => openSettings(server),
    practise,
    walkthrough: () => run("workbench.action.openWalkthrough", `${context.extension.id}#start`, false),
    howToInstall: () => run("markdown.showPreview", Uri.joinPath(context.extensionUri, "walkthrough", "install.md")),
    restart: () => server.restart(),
    showLog: () => {
      log.show();
    },
    copyDebugInformation: () => copyDebugInformation(context, server),
  };
  for (const [name, act] of Object.entries(todo)) {
    const obey = async (...args: string[]): Promise<void> => {
      try {
        await act(...args);
      } catch (error) {
        const sentence = error instanceof Error ? error.message : String(error);
        log.warn(`${name} was not done`);
        if (name !== "accept") void window.showWarningMessage(`Afterword: ${sentence}`);
      }
    };
    context.subscriptions.push(commands.registerCommand(`afterword.${name}`, obey));
  }
  context.subscriptions.push(workspace.registerTextDocumentContentProvider(PAGES, { provideTextDocumentContent: contentOf }));
}

// -- suggestions -------------------------------------------------------------------------------

/** Off everywhere, or on again as it was before; other windows follow, and so does the next start. */
async function toggle(context: ExtensionContext): Promise<void> {
  const now = settings.enabling();
  if (isOn(now, language())) {
    await settings.enable((before) => {
      void context.globalState.update(BEFORE, { setting: before });
      return allOff({ ...now, ...before });
    });
  } else {
    const before = context.globalState.get<{ setting?: Enabling }>(BEFORE);
    // Where nothing was set, nothing is set again.
    await settings.enable(() => (before && !before.setting ? undefined : onAgain(now, before?.setting, language())));
    await context.globalState.update(BEFORE, undefined);
  }
}

async function whyNoSuggestion(server: Server): Promise<void> {
  const { explanation, reason } = await server.order("whyNoSuggestion", window.activeTextEditor?.document.uri.toString() ?? "");
  const why = typeof explanation === "string" ? explanation.replace(/\.$/, "") : "nobody knows";
  const step = REMEDIES[String(reason)];
  const chosen = await window.showInformationMessage(`Afterword: ${why}.`, ...(step ? [step.label] : []));
  if (chosen && step) await run(step.command);
}

// What can be done about a reason, by the server's word for it.
const REMEDIES: Readonly<Record<string, Step>> = {
  off: { label: "Turn On", command: "afterword.toggle" },
  language: { label: "Turn On", command: "afterword.toggleLanguage" },
  config: { label: "Open Settings File", command: "afterword.settings" },
  "no-daemon": { label: "Show Log", command: "afterword.showLog" },
};

/** A file that is on no disk, in which something comes before anything was learned. */
async function practise(): Promise<void> {
  const document = await workspace.openTextDocument({ language: "markdown", content: PRACTICE });
  const editor = await window.showTextDocument(document, { preview: false });
  const end = document.lineAt(document.lineCount - 1).range.end;
  editor.selection = new Selection(end, end);
  editor.revealRange(new Range(end, end));
  await run("editor.action.inlineSuggest.trigger");
}

const PRACTICE = `# Practice

Go on writing below. What Afterword expects is grey:

- **Tab** takes it, **Ctrl+→** (macOS: **Cmd+→**) takes one word of it
- **Esc** sends it away, and so does typing something else
- **Alt+]** and **Alt+[** show others; \`Alt+\\\` asks for one

Dear friend,

I have been thinking ab`;

// -- learning ----------------------------------------------------------------------------------

/** Have every folder of this window learned from on, and show how far reading has come. */
async function learnWorkspace(context: ExtensionContext, server: Server, log: LogOutputChannel): Promise<void> {
  const folders = (workspace.workspaceFolders ?? []).filter(({ uri }) => uri.scheme === "file");
  if (!folders.length) {
    const sentence = "Afterword: no folder is open here that lies on a disk of this machine; open the one to learn.";
    if (await window.showInformationMessage(sentence, "Open Folder…")) await run("workbench.action.files.openFolder");
    return;
  }
  for (const { uri } of folders) await server.order("learnWorkspace", uri.toString());
  await context.globalState.update(TAUGHT, true);
  const title = `Afterword reads ${folders.map(({ name }) => name).join(", ")}`;
  const nFiles = await window.withProgress({ location: ProgressLocation.Window, title }, (progress) =>
    reading(server, folders, progress),
  );
  const result = nFiles === undefined ? "goes on reading" : `learns from ${counted(nFiles)} now; the model follows when you rest`;
  log.info(`this workspace: ${result}`);
  window.setStatusBarMessage(`$(check) Afterword ${result}`, TOLD_MS);
}

/** Follow the reading to its end; how many files there are, undefined if that takes too long. */
async function reading(
  server: Server,
  folders: readonly WorkspaceFolder[],
  progress: Progress<{ message: string }>,
): Promise<number | undefined> {
  const paths = new Set(folders.map(({ uri }) => uri.fsPath));
  const end = Date.now() + READING_MS;
  let before = -1;
  while (Date.now() < end) {
    const daemon = (await server.order("status")).daemon as { watched?: Watched[] } | null;
    const ours = daemon?.watched?.filter(({ path }) => paths.has(path)) ?? [];
    const nFiles = ours.reduce((sum, { files }) => sum + files, 0);
    const isWatched = ours.length === paths.size && ours.every(({ mode }) => mode);
    if (isWatched && nFiles === before) return nFiles; // it stands still
    before = nFiles;
    progress.report({ message: counted(nFiles) });
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return undefined;
}

function counted(nFiles: number): string {
  return nFiles === 1 ? "1 file" : `${nFiles} files`;
}

interface Watched {
  readonly path: string;
  /** How it is watched; empty while that is not known yet. */
  readonly mode: string;
  readonly files: number;
}

async function forgetFile(server: Server): Promise<void> {
  const document = window.activeTextEditor?.document;
  if (document?.uri.scheme !== "file") throw new Error("open the file that is to be forgotten, and ask again");
  const name = document.uri.path.split("/").pop() ?? "";
  const detail =
    "What was learned of it is taken out of everything: the memory at once, the model by making one without it, " +
    "which may take some minutes; models that saw it are deleted. It is not read again. The file itself stays as it is. " +
    "This cannot be undone.";
  const chosen = await window.showWarningMessage(`Forget ${name}?`, { modal: true, detail }, "Forget");
  if (!chosen) return;
  const ended = new Promise<string>((resolve) => {
    const listening = server.onDidChange(({ forgotten }) => {
      if (!forgotten) return;
      listening.dispose();
      resolve(forgotten);
    });
  });
  await server.order("forgetFile", document.uri.toString());
  void window.showInformationMessage(`${name}: ${await ended}`);
}

/** The page on how learning went; it quotes the user, so it is opened here and nowhere else. */
async function report(server: Server): Promise<void> {
  if (!server.program) throw new Error(server.situation.detail || "the language server was not found");
  const trainer = join(dirname(server.program), "trainer");
  try {
    const { stdout } = await promisify(execFile)(trainer, ["report"]);
    const path = /\S.*\.html/.exec(stdout)?.[0];
    if (path) await open(path);
  } catch (error) {
    const { stderr } = error as { stderr?: string };
    throw new Error(stderr?.trim().split("\n")[0] ?? `${trainer} could not be run`, { cause: error });
  }
}

async function open(page: string): Promise<void> {
  // An editor that is a page itself would leave for a file, or be stopped half-way.
  if (env.uiKind === UIKind.Web) await window.showInformationMessage(`Afterword: open this page in a browser: ${page}`);
  else await env.openExternal(Uri.file(page));
}

// -- pages -------------------------------------------------------------------------------------

const PAGES = "afterword"; // the scheme of what is made to be read
const pages = new Map<string, string>();

async function statistics(server: Server): Promise<void> {
  const uri = Uri.from({ scheme: PAGES, path: "/Afterword statistics.md", query: String(Date.now()) });
  pages.clear();
  pages.set(uri.toString(), page(await server.order("statistics")));
  await run("markdown.showPreview", uri);
}

function contentOf(uri: Uri): string {
  return pages.get(uri.toString()) ?? "";
}

async function openSettings(server: Server): Promise<void> {
  const { file } = await server.order("settings");
  if (typeof file === "string") await window.showTextDocument(Uri.file(file));
}

// -- help --------------------------------------------------------------------------------------

/** Figures for a bug report; neither text nor paths. */
async function copyDebugInformation(context: ExtensionContext, server: Server): Promise<void> {
  const none: Answer = {};
  const daemon = await server.order("status").then(({ daemon }) => daemon, () => none);
  const { state, percent, model } = server.situation;
  const own = workspace.getConfiguration(settings.SECTION);
  const facts = {
    versions: {
      extension: (context.extension.packageJSON as { version: string }).version,
      server: server.version,
      editor: `${version} (${env.appHost}, ${env.remoteName ? "remote" : "local"})`,
      system: `${process.platform} ${release()} ${process.arch}`,
    },
    ...(redacted({
      situation: { state, percent, model },
      server: { isFound: server.program !== undefined, isSet: settings.path() !== "" },
      settings: {
        enable: settings.enabling(),
        trigger: own.get("trigger"),
        eagerness: own.get("eagerness"),
        temperature: own.get("temperature"),
      },
      editor: { showsGhostText: settings.showsGhostText(window.activeTextEditor?.document) },
      daemon,
    }) as Answer),
  };
  await env.clipboard.writeText(JSON.stringify(facts, undefined, 2));
  window.setStatusBarMessage("$(check) Copied; it holds neither text nor paths", TOLD_MS);
}

function language(): string {
  return window.activeTextEditor?.document.languageId ?? "";
}

function run(command: string, ...args: unknown[]): Promise<unknown> {
  return Promise.resolve(commands.executeCommand(command, ...args));
}
