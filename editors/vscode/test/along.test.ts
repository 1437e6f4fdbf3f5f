import assert from "node:assert/strict";
import { test } from "node:test";
import { type Answered, type Offered, along } from "../src/along";

const ANSWERED: Answered<Offered> = {
  document: "a",
  line: 3,
  left: "The ri",
  right: ")",
  offers: [
    { text: "ver rose.", start: 6, end: 6 },
    { text: "vet", start: 6, end: 7 },
  ],
};

function typed(text: string, changes: object = {}): readonly object[] | undefined {
  return along(ANSWERED, { document: "a", line: 3, left: ANSWERED.left + text, right: ")", ...changes });
}

test("what was typed is taken off, of every offer that goes on so", () => {
  assert.deepEqual(typed("v"), [
    { text: "er rose.", start: 7, end: 7 },
    { text: "et", start: 7, end: 8 },
  ]);
  assert.deepEqual(typed("ver "), [{ text: "rose.", start: 10, end: 10 }]);
});

test("one has to ask where the text goes another way, ends there, or changed elsewhere", () => {
  for (const [text, changes] of [
    ["x", {}],
    ["ver rose.", {}],
    ["", {}],
    ["v", { right: "" }],
    ["v", { line: 4 }],
    ["v", { document: "b" }],
    ["v", { left: "the riv" }],
  ] as const) {
    assert.equal(typed(text, changes), undefined);
  }
});

test("an offer that begins before the cursor loses what stands there as well", () => {
  const answered = { ...ANSWERED, offers: [{ text: "river rose.", start: 4, end: 6 }] };
  const found = along(answered, { document: "a", line: 3, left: "The riv", right: ")" });
  assert.deepEqual(found, [{ text: "er rose.", start: 7, end: 7 }]);
});

test("columns are counted as the editor does, in UTF-16", () => {
  const answered = { ...ANSWERED, left: "🎉 The ri", offers: [{ text: "ver 🌹.", start: 9, end: 9 }] };
  const now = { document: "a", line: 3, right: ")" };
  assert.deepEqual(along(answered, { ...now, left: "🎉 The riv" }), [{ text: "er 🌹.", start: 10, end: 10 }]);
  assert.deepEqual(along(answered, { ...now, left: "🎉 The river 🌹" }), [{ text: ".", start: 15, end: 15 }]);
});
