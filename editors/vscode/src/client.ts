/**
 * The language client, cut to what `afterword-lsp` speaks.
 *
 * Nothing that goes wrong in it opens a message: the status item says it, and the log. The server's own messages, that
 * a setting is of no use, are shown.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type LogOutputChannel, ExtensionKind, env, extensions } from "vscode";
import {
  type DocumentSelector,
  type DynamicFeature,
  type LanguageClientOptions,
  type StaticFeature,
  CloseAction,
  ErrorAction,
  LanguageClient,
  RevealOutputChannelOn,
} from "vscode-languageclient/node";
import { GhostText } from "./ghost";
import { SECTION, showsGhostText } from "./settings";

export { State } from "vscode-languageclient/node";

// The server's commands are not among them: the editor's own have their names, and ask first, or show the answer.
const SPOKEN = new Set([
  "textDocument/completion",
  "textDocument/didChange",
  "textDocument/didClose",
  "textDocument/didOpen",
  "textDocument/didSave",
  "textDocument/inlineCompletion",
  "workspace/didChangeConfiguration",
  "workspace/didChangeWorkspaceFolders",
]);
const MOST_CRASHES = 5; // within CRASHES_MS, until one has to ask for the next start
const CRASHES_MS = 3 * 60 * 1000;
const FAREWELL_MS = 500; // for the server to answer that it ends

export class Client extends LanguageClient {
  readonly ghostText: GhostText;
  private readonly running: Running;

  /** `gaveUp` is told when the server has ended too often to be started once more. */
  constructor(program: string, home: string, log: LogOutputChannel, gaveUp: () => void) {
    const running = new Running(program, home);
    const ghostText = new GhostText();
    super(SECTION, "Afterword", () => running.begin(), clientOptions(log, ghostText, running, gaveUp));
    this.ghostText = ghostText;
    this.running = running;
  }

  /** End it for good, at whatever point it is: the library would leave alone a server that is just starting. */
  async end(): Promise<void> {
    this.running.isWanted = false;
    try {
      await this.dispose(FAREWELL_MS);
    } catch {
      this.running.kill(); // it is starting, or it does not answer
    }
  }

  override registerFeature(feature: StaticFeature | DynamicFeature<unknown>): void {
    if (!("fillClientCapabilities" in feature)) return; // `slim.mjs` has left it out
    if (!("registrationType" in feature) || SPOKEN.has(feature.registrationType.method)) super.registerFeature(feature);
  }

  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}

/** The server's process, and the next where it dies. */
class Running {
  isWanted = true;
  private process: ChildProcess | undefined;

  constructor(
    private readonly program: string,
    private readonly folder: string,
  ) {}

  async begin(): Promise<ChildProcess> {
    if (!this.isWanted) throw new Error("It is being ended.");
    const process = (this.process = spawn(this.program, [], { cwd: this.folder }));
    process.on("error", () => undefined); // such as comes later: its end is seen at its pipes
    await once(process, "spawn");
    return process;
  }

  /** It keeps nothing of its own that could be lost. */
  kill(): void {
    this.process?.kill("SIGKILL");
  }
}

function clientOptions(
  log: LogOutputChannel,
  ghostText: GhostText,
  running: Running,
  gaveUp: () => void,
): LanguageClientOptions {
  let crashes: number[] = [];
  return {
    documentSelector: documents(),
    // The user's settings are asked for, and told when they change, under their own names. Entries of the menu are
    // always there to be had, and below it is decided whether to ask for them.
    initializationOptions: { popup: true, status: true },
    outputChannel: log,
    revealOutputChannelOn: RevealOutputChannelOn.Never,
    initializationFailedHandler: () => false,
    errorHandler: {
      error: () => ({ action: ErrorAction.Continue, handled: true }),
      closed: () => {
        // A server that dies while it is being ended would otherwise be started once more, beside the next one.
        if (!running.isWanted) return { action: CloseAction.DoNotRestart, handled: true };
        const now = Date.now();
        crashes = [...crashes.filter((when) => now - when < CRASHES_MS), now];
        if (crashes.length < MOST_CRASHES) return { action: CloseAction.Restart, handled: true };
        gaveUp();
        return { action: CloseAction.DoNotRestart, handled: true };
      },
    },
    middleware: {
      provideInlineCompletionItems: ghostText.provide,
      provideCompletionItem: (document, position, context, token, next) =>
        showsGhostText(document) ? undefined : next(document, position, context, token),
    },
  };
}

/** What is worked on in this window. From the user's own machine, a remote file is one as well. */
function documents(): DocumentSelector {
  const isBesideUser = extensions.getExtension("afterword.afterword")?.extensionKind === ExtensionKind.UI;
  const schemes = ["file", "untitled", ...(env.remoteName && isBesideUser ? ["vscode-remote"] : [])];
  return schemes.map((scheme) => ({ scheme }));
}
