/** Afterword in VS Code: what begins with the editor, and what follows what. */

import { type ExtensionContext, type TextDocument, commands, window, workspace } from "vscode";
import { registerCommands } from "./commands";
import { Server } from "./server";
import { showStatus } from "./status";
import { followUnanswered } from "./unanswered";

const TOLD = "wasToldMissing"; // the name of a note in the extension's storage

let server: Server | undefined;

export function activate(context: ExtensionContext): void {
  const log = window.createOutputChannel("Afterword", { log: true });
  const ours = (server = new Server(log));
  context.subscriptions.push(log, ours);
  registerCommands(context, ours, log);
  showStatus(context, ours);
  const restart = (): void => void ours.restart();
  const look = ({ uri }: TextDocument): void => {
    if (ours.isRunning) void ours.look(uri.toString());
  };
  context.subscriptions.push(
    followUnanswered(ours),
    ours.onDidChange(({ state }) => {
      if (state === "missing") void tellOnce(context);
    }),
    workspace.onDidChangeConfiguration((change) => {
      ours.askAnew();
      if (change.affectsConfiguration("afterword.path")) restart();
    }),
    workspace.onDidGrantWorkspaceTrust(restart),
    window.onDidChangeActiveTextEditor((editor) => {
      if (editor) look(editor.document);
    }),
    // A document whose language becomes another is opened anew, as some are at the editor's start. The client is to
    // tell the server of that first.
    workspace.onDidOpenTextDocument((document) => {
      setImmediate(() => {
        if (document === window.activeTextEditor?.document) look(document);
      });
    }),
    // Somebody who has just installed it comes back from a terminal.
    window.onDidChangeWindowState(({ focused }) => {
      if (focused && ours.situation.state === "missing") restart();
    }),
  );
  restart();
}

export function deactivate(): Promise<void> | undefined {
  return server?.stop();
}

/** The one message that nobody asked for, once for an installation: without the server nothing works. */
async function tellOnce(context: ExtensionContext): Promise<void> {
  if (context.globalState.get<boolean>(TOLD, false)) return;
  await context.globalState.update(TOLD, true);
  const sentence = "Afterword needs its language server, afterword-lsp, which was not found on this machine.";
  const chosen = await window.showInformationMessage(sentence, "How to Install", "Choose Path");
  if (chosen === "How to Install") await commands.executeCommand("afterword.howToInstall");
  if (chosen === "Choose Path") await commands.executeCommand("workbench.action.openSettings", "afterword.path");
}
