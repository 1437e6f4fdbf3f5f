/** The one item in the status bar, and the menu behind it. */

import {
  type ExtensionContext,
  type QuickPickItem,
  MarkdownString,
  QuickPickItemKind,
  StatusBarAlignment,
  commands,
  window,
  workspace,
} from "vscode";
import { isOn } from "./enabling";
import { entries } from "./menu";
import type { Server } from "./server";
import * as settings from "./settings";
import { type Here, face } from "./situation";

export const TAUGHT = "wasTaught"; // the name of a note in the extension's storage
const FACTS_MS = 300; // for figures in the menu's title, before it opens without them

/** Show how Afterword is, from now until the extension ends. */
export function showStatus(context: ExtensionContext, server: Server): void {
  const item = window.createStatusBarItem("afterword.status", StatusBarAlignment.Right, 100);
  item.name = "Afterword";
  item.command = "afterword.menu";
  const draw = (): void => {
    const { icon, text, sentence, next } = face(server.situation, here(context));
    item.text = `$(${icon}) ${text}`;
    const tooltip = new MarkdownString(sentence);
    if (next) tooltip.appendMarkdown(`\n\n[${next.label}](command:${next.command})`);
    tooltip.isTrusted = { enabledCommands: next ? [next.command] : [] };
    item.tooltip = tooltip;
    item.accessibilityInformation = { label: `Afterword: ${sentence}`, role: "button" };
    void commands.executeCommand("setContext", "afterword.isPaused", server.situation.state === "paused");
  };
  draw();
  item.show();
  context.subscriptions.push(
    item,
    server.onDidChange(draw),
    window.onDidChangeActiveTextEditor(draw),
    workspace.onDidChangeConfiguration(draw),
  );
}

/** What one may want now; does what is chosen. */
export async function showMenu(context: ExtensionContext, server: Server): Promise<void> {
  const where = here(context);
  const items = entries(server.situation, where).map(({ label, detail, command }): QuickPickItem & { command?: string } =>
    command ? { label, command, ...(detail ? { detail } : {}) } : { label, kind: QuickPickItemKind.Separator },
  );
  const { sentence } = face(server.situation, where);
  const chosen = await window.showQuickPick(items, { title: await title(server), placeHolder: sentence });
  if (chosen?.command) await commands.executeCommand(chosen.command);
}

function here(context: ExtensionContext): Here {
  const document = window.activeTextEditor?.document;
  const isOfUser = document && ["file", "untitled", "vscode-remote"].includes(document.uri.scheme);
  const language = isOfUser ? document.languageId : "";
  return {
    language,
    isOn: isOn(settings.enabling(), language),
    isInMenu: !settings.showsGhostText(document),
    wasTaught: context.globalState.get<boolean>(TAUGHT, false),
  };
}

/** "Afterword · you-7 · answers in 6 ms (p95 14)", as far as that is known soon enough. */
async function title(server: Server): Promise<string> {
  const parts = ["Afterword", server.situation.model];
  const late = new Promise<undefined>((resolve) => setTimeout(() => { resolve(undefined); }, FACTS_MS));
  const asked = server.order("status").catch(() => undefined);
  const daemon = (await Promise.race([asked, late]))?.daemon as { latency_ms?: { p50: number; p95: number } } | null | undefined;
  const latency = daemon?.latency_ms;
  if (latency) parts.push(`answers in ${latency.p50.toFixed(0)} ms (p95 ${latency.p95.toFixed(0)})`);
  return parts.filter(Boolean).join(" · ");
}
