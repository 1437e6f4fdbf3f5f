import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { entries } from "../src/menu";
import { type Here, STATES, face, situation, told } from "../src/situation";

const HERE: Here = { language: "markdown", isOn: true, isInMenu: false, wasTaught: true };
const MANIFEST = JSON.parse(readFileSync("package.json", "utf8")) as {
  contributes: { commands: { command: string }[]; configuration: { properties: Record<string, unknown> } };
};
const COMMANDS = new Set(MANIFEST.contributes.commands.map(({ command }) => command));

test("every state has an icon, a word, a sentence, and what to do next where something is wrong", () => {
  for (const state of STATES) {
    const { icon, text, sentence, next } = face(situation(state), HERE);
    assert.ok(icon && text && sentence.endsWith("."), state);
    assert.equal(icon === "warning", ["missing", "stopped", "unavailable", "no-model", "degraded"].includes(state));
    if (icon === "warning") assert.ok(next, state);
    if (next) assert.ok(COMMANDS.has(next.command), next.command);
  }
});

test("learning says how far it is, and why", () => {
  const { text, sentence } = face(told({ state: "learning", percent: 53, detail: "12 files." }), HERE);
  assert.equal(text, "53 %");
  assert.equal(sentence, "Learning, 53 %. 12 files.");
});

test("off here is said of this language, whatever else goes on, but not where the server is missing", () => {
  const here = { ...HERE, isOn: false };
  for (const state of ["ready", "learning", "paused", "off"] as const) {
    const { icon, sentence } = face(situation(state), here);
    assert.equal(icon, "circle-slash");
    assert.match(sentence, /markdown/);
  }
  assert.equal(face(situation("missing"), here).icon, "warning");
});

test("who was never taught is told what to do next", () => {
  assert.equal(face(situation("ready"), HERE).next, undefined);
  assert.equal(face(situation("ready"), { ...HERE, wasTaught: false }).next?.command, "afterword.learnWorkspace");
});

test("that suggestions come in the menu is said where it is so", () => {
  assert.match(face(situation("ready"), { ...HERE, isInMenu: true }).sentence, /editor\.inlineSuggest\.enabled/);
});

test("whatever the server says makes some situation", () => {
  for (const odd of [undefined, null, 3, "ready", [], { state: "dancing" }, { state: 7, percent: "much", detail: {} }]) {
    assert.equal(told(odd).state, "starting");
  }
});

test("the menu has every command once, the next step first", () => {
  for (const state of STATES) {
    const all = entries(situation(state), { ...HERE, wasTaught: false });
    const names = all.flatMap(({ command }) => command ?? []);
    assert.equal(new Set(names).size, names.length);
    for (const name of names) assert.ok(COMMANDS.has(name), name);
    const { next } = face(situation(state), { ...HERE, wasTaught: false });
    if (next) assert.equal(names[0], next.command);
  }
});

test("there are six settings at most", () => {
  assert.ok(Object.keys(MANIFEST.contributes.configuration.properties).length <= 6);
});
