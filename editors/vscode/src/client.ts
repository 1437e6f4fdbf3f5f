/**
 * The language client, cut to what `afterword-lsp` speaks.
 *
 * Nothing that goes wrong in it opens a message: the status item says it, and the log. The server's own messages, that
 * a setting is of no use, are shown.
 */

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
  TransportKind,
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

/** Whoever has started a client. */
export interface Owner {
  /** It is not being ended, nor is another in its place. */
  isWanted(): boolean;
  /** The server has ended too often to be started once more. */
  gaveUp(): void;
}

export class Client extends LanguageClient {
  readonly ghostText: GhostText;

  constructor(program: string, home: string, log: LogOutputChannel, owner: Owner) {
    const run = { command: program, transport: TransportKind.stdio, options: { cwd: home } };
    const ghostText = new GhostText();
    super(SECTION, "Afterword", run, clientOptions(log, ghostText, owner));
    this.ghostText = ghostText;
  }

  override registerFeature(feature: StaticFeature | DynamicFeature<unknown>): void {
    if (!("fillClientCapabilities" in feature)) return; // `slim.mjs` has left it out
    if (!("registrationType" in feature) || SPOKEN.has(feature.registrationType.method)) super.registerFeature(feature);
  }

  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}

function clientOptions(log: LogOutputChannel, ghostText: GhostText, owner: Owner): LanguageClientOptions {
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
        if (!owner.isWanted()) return { action: CloseAction.DoNotRestart, handled: true };
        const now = Date.now();
        crashes = [...crashes.filter((when) => now - when < CRASHES_MS), now];
        if (crashes.length < MOST_CRASHES) return { action: CloseAction.Restart, handled: true };
        owner.gaveUp();
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
