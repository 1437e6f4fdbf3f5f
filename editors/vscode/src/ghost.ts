/** Grey text as VS Code asks for it, which is at every key: the server is asked only where nobody types along. */

import {
  type Command,
  type Position,
  type TextDocument,
  InlineCompletionItem,
  InlineCompletionTriggerKind,
  Range,
} from "vscode";
import type { Middleware } from "vscode-languageclient/node";
import { type Answered, type Offered, type Place, along } from "./along";
import { isAutomatic } from "./settings";

interface Offer extends Offered {
  readonly command: Command | undefined; // to be run once it is taken
}

type Provide = NonNullable<Middleware["provideInlineCompletionItems"]>;

const READING_MS = 60; // that the server may take to read after a jump; it answers "nothing" before
const MOST_AGAIN = 3;

export class GhostText {
  private shown: Answered<Offer> | undefined;
  private last: Place | undefined; // that was answered

  /** Ask at the next key, whatever is typed: another answer may be due. */
  forget(): void {
    this.shown = undefined;
  }

  readonly provide: Provide = async (document, position, context, token, next) => {
    const here = place(document, position);
    const isTyping = context.triggerKind === InlineCompletionTriggerKind.Automatic && !context.selectedCompletionInfo;
    const left = isTyping && this.shown && along(this.shown, here);
    if (left) return left.map((offer) => item(offer, here.line));
    const ask = async (): Promise<InlineCompletionItem[]> => {
      const answer = (await next(document, position, context, token)) ?? [];
      return Array.isArray(answer) ? answer : answer.items;
    };
    let items = await ask();
    const isReading = isTyping && this.isJump(here) && isAutomatic(document);
    // Who rests after the first word there is to see it as well: the editor asks at keys alone.
    for (let n = 0; n < MOST_AGAIN && !items.length && isReading; n++) {
      await new Promise((resolve) => setTimeout(resolve, READING_MS));
      if (token.isCancellationRequested) return [];
      items = await ask();
    }
    if (token.isCancellationRequested) return items;
    this.last = here;
    this.shown = isTyping ? { ...here, offers: items.flatMap(offered) } : undefined;
    return items;
  };

  private isJump({ document, line }: Place): boolean {
    return this.last?.document !== document || Math.abs(this.last.line - line) > 1;
  }
}

function place(document: TextDocument, position: Position): Place {
  const { text } = document.lineAt(position.line);
  return {
    document: document.uri.toString(),
    line: position.line,
    left: text.slice(0, position.character),
    right: text.slice(position.character),
  };
}

function offered({ insertText, range, command }: InlineCompletionItem): Offer[] {
  if (typeof insertText !== "string" || !range) return [];
  return [{ text: insertText, start: range.start.character, end: range.end.character, command }];
}

function item({ text, start, end, command }: Offer, line: number): InlineCompletionItem {
  return new InlineCompletionItem(text, new Range(line, start, line, end), command);
}
