/**
 * What is left of a suggestion when its next characters have been typed: no need to ask for it again.
 *
 * Pure, over lines of text. It follows one answer in one document; whatever is not plainly typing along ends it.
 */

/** A suggestion in a line: it stands for what is between two columns. */
export interface Offered {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** What was answered, and the line that it was for. */
export interface Answered<Offer extends Offered> extends Place {
  readonly offers: readonly Offer[];
}

/** Where an answer is wanted. */
export interface Place {
  readonly document: string;
  readonly line: number;
  readonly left: string; // of the cursor
  readonly right: string;
}

/** The offers that go on as was typed, shorter by that; undefined where one has to ask. */
export function along<Offer extends Offered>(before: Answered<Offer>, now: Place): readonly Offer[] | undefined {
  const isSameLine = before.document === now.document && before.line === now.line && before.right === now.right;
  if (!isSameLine || !now.left.startsWith(before.left)) return undefined;
  const nTyped = now.left.length - before.left.length;
  const left = before.offers.flatMap((offer) => {
    const { text, start, end } = offer;
    const there = now.left.slice(start);
    const isLeft = text.length > there.length && text.startsWith(there);
    return isLeft ? [{ ...offer, text: text.slice(there.length), start: now.left.length, end: end + nTyped }] : [];
  });
  return nTyped > 0 && left.length ? left : undefined;
}
