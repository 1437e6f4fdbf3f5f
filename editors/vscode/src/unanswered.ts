/**
 * What was typed while no suggestion could come: VS Code asks at keys alone, so it is asked once more when one can.
 *
 * Only where nothing has happened since: grey text is for the place at which somebody writes.
 */

import { type Position, type TextDocument, Disposable, window, workspace } from "vscode";
import type { Server } from "./server";
import { isAutomatic, showsGhostText } from "./settings";
import { suggests } from "./situation";

interface Typed {
  readonly document: TextDocument;
  readonly version: number;
  readonly end: Position;
}

/** Have the server asked for what it missed, from now until this is disposed of. */
export function followUnanswered(server: Server): Disposable {
  let last: Typed | undefined;
  return Disposable.from(
    workspace.onDidChangeTextDocument(({ document, contentChanges: [change], reason }) => {
      if (!change || document !== window.activeTextEditor?.document) return; // saved, or a log that grows
      last = undefined;
      if (suggests(server.situation) || reason !== undefined) return; // what is undone was not typed
      const end = document.positionAt(change.rangeOffset + change.text.length);
      last = { document, version: document.version, end };
    }),
    server.onDidChange((now) => {
      if (!suggests(now)) return;
      if (last && isStillSo(last)) void server.askHere();
      last = undefined;
    }),
  );
}

function isStillSo({ document, version, end }: Typed): boolean {
  const editor = window.activeTextEditor;
  const isThere = editor?.document === document && document.version === version;
  const isAtEnd = editor?.selections.length === 1 && editor.selection.isEmpty && editor.selection.active.isEqual(end);
  return isThere && isAtEnd && isAutomatic(document) && showsGhostText(document);
}
