import assert from "node:assert/strict";
import { test } from "node:test";
import { type Enabling, allOff, isOn, onAgain, switched } from "../src/enabling";

test("a language has its own say, before all others", () => {
  const cases: [Enabling, string, boolean][] = [
    [{}, "markdown", true],
    [{ "*": false }, "markdown", false],
    [{ "*": false, markdown: true }, "markdown", true],
    [{ "*": true, python: false }, "python", false],
    [{ "*": true, python: false }, "", true],
  ];
  for (const [enabling, language, expected] of cases) assert.equal(isOn(enabling, language), expected);
});

test("off is off for every language, and on again is what it was", () => {
  for (const before of [{}, { "*": true, python: false }, { "*": false, markdown: true }] as Enabling[]) {
    const off = allOff(before);
    for (const language of ["markdown", "python", "rust", ""]) assert.equal(isOn(off, language), false);
    assert.deepEqual(onAgain(off, before, "markdown"), before);
  }
});

test("where nothing is remembered, on again is on here, and on everywhere only if it was off everywhere", () => {
  assert.deepEqual(onAgain({ "*": false }, undefined, "markdown"), { "*": true });
  assert.deepEqual(onAgain({ "*": true, python: false }, undefined, "python"), { "*": true, python: true });
  assert.equal(isOn(onAgain({ "*": false, rust: false }, { rust: false }, "rust"), "rust"), true);
});

test("a switch for a language changes nothing for others", () => {
  assert.deepEqual(switched({ "*": true }, "markdown"), { "*": true, markdown: false });
  assert.deepEqual(switched({ "*": false, markdown: false }, "markdown"), { "*": false, markdown: true });
});
