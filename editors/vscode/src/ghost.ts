/** Grey text as VS Code asks for it, which is at every key: the server is asked only where nobody types along. */

import {
  type Command,
  type Position,
  type TextDocument,
  InlineCompletionItem,
  InlineCompletionTriggerKind,
  Range,
  commands,
} from "vscode";
import type { Middleware } from "vscode-languageclient/node";
import { type Answered, type Offered, type Place, along } from "./along";
import { isAutomatic } from "./settings";

interface Offer extends Offered {
  readonly command: Command | undefined; // to be run once it is taken
}

type Provide = NonNullable<Middleware["provideInlineCompletionItems"]>;

const READING_MS = 60; // between two questions while the daemon reads its way there: "nothing" is the answer until then
const LATE_MS = 200; // soon after that "nothing" means that the server waits no longer: the machine is busy
const MOST_AGAIN = 3; // after a jump, or when it was late; VS Code keeps its menu back meanwhile
const MOST_AFTER_START = 30; // nobody waits, and there is more to read

export class GhostText {
  private shown: Answered<Offer> | undefined;
  private last: Place | undefined; // that was answered
  private isUnasked = false; // the next wish is our own

  /** Ask at the next key, whatever is typed: another answer may be due. */
  forget(): void {
    this.shown = undefined;
  }

  /** Have the editor ask for where the cursor is. It knows that as a wish of the user's alone, the server as a key. */
  async askHere(): Promise<void> {
    this.isUnasked = true;
    try {
      await commands.executeCommand("editor.action.inlineSuggest.trigger");
    } finally {
      this.isUnasked = false;
    }
  }

  readonly provide: Provide = async (document, position, given, token, next) => {
    const here = place(document, position);
    const isInvoked = given.triggerKind === InlineCompletionTriggerKind.Invoke;
    const isUnasked = isInvoked && this.isUnasked;
    if (isUnasked) this.isUnasked = false;
    const context = isUnasked ? { ...given, triggerKind: InlineCompletionTriggerKind.Automatic } : given;
    const isTyping = context.triggerKind === InlineCompletionTriggerKind.Automatic && !context.selectedCompletionInfo;
    const left = isTyping && this.shown && along(this.shown, here);
    if (left) return left.map((offer) => item(offer, here.line));
    const ask = async (): Promise<InlineCompletionItem[]> => {
      const answer = (await next(document, position, context, token)) ?? [];
      return Array.isArray(answer) ? answer : answer.items;
    };
    const since = performance.now();
    let items = await ask();
    const isLate = performance.now() - since > LATE_MS;
    const most = isUnasked ? MOST_AFTER_START : isLate || this.isJump(here) ? MOST_AGAIN : 0;
    // Who rests there is to see it as well: the editor asks at keys alone.
    for (let n = 0; n < most && !items.length && isTyping && isAutomatic(document); n++) {
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
