/** The settings that the extension itself looks at; the server asks for all of them. */

import { type TextDocument, ConfigurationTarget, workspace } from "vscode";
import { type Enabling, isOn } from "./enabling";

export const SECTION = "afterword";

export function path(): string {
  return workspace.getConfiguration(SECTION).get<string>("path", "").trim();
}

export function enabling(): Enabling {
  return workspace.getConfiguration(SECTION).get<Enabling>("enable", {});
}

/** Whether suggestions are to come as one types there. */
export function isAutomatic({ languageId }: TextDocument): boolean {
  return isOn(enabling(), languageId) && workspace.getConfiguration(SECTION).get("trigger") !== "manual";
}

/** Write it where the user has written it before: a folder's settings stay a folder's. */
export async function enable(change: (before: Enabling | undefined) => Enabling | undefined): Promise<void> {
  const settings = workspace.getConfiguration(SECTION);
  const found = settings.inspect<Enabling>("enable");
  const isOfWorkspace = found?.workspaceValue !== undefined;
  const target = isOfWorkspace ? ConfigurationTarget.Workspace : ConfigurationTarget.Global;
  await settings.update("enable", change(isOfWorkspace ? found.workspaceValue : found?.globalValue), target);
}

/** Whether the editor shows grey text in a document; if not, suggestions come in its menu. */
export function showsGhostText(document: TextDocument | undefined): boolean {
  return workspace.getConfiguration("editor", document).get<boolean>("inlineSuggest.enabled", true);
}
