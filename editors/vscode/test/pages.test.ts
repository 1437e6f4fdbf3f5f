import assert from "node:assert/strict";
import { test } from "node:test";
import { redacted } from "../src/diagnosis";
import { page } from "../src/statistics";

const DAY = { shown: 212, accepted: 90, partly: 6, rejected: 40, characters: 1940 };

test("statistics are a page for people", () => {
  const text = page({ total: DAY, days: { "2031-01-30": DAY }, latency_ms: { p50: 3.14, p95: 9 }, counting: true });
  assert.match(text, /\*\*1,940 characters\*\*/);
  assert.match(text, /96 of 212 suggestions \(45 %\)/);
  assert.match(text, /\| 2031-01-30 \| 212 \| 90 \| 6 \| 40 \| 1,940 \|/);
  assert.match(text, /within 3\.1 ms, 95 in 100 within 9\.0 ms/);
});

test("before anything was shown they say what to do, and when nothing is counted, why", () => {
  assert.match(page({}), /Type a little/);
  assert.match(page({ counting: false }), /stats = false/);
});

test("debug information holds figures and words of ours, and nothing of the user", () => {
  const facts = {
    state: "ready",
    detail: "/home/me/diary.md is too long",
    pid: 12,
    files: { "/home/me/notes": "there", log: "/home/me/log" },
    watched: [{ path: "/home/me/notes", mode: "events", files: 371 }],
    model: { id: "you-7", scores: { bits_per_character: 1.62 } },
    mode: "two words",
    secret: "hunter2",
  };
  const expected = {
    state: "ready",
    pid: 12,
    files: {},
    watched: [{ mode: "events", files: 371 }],
    model: { scores: { bits_per_character: 1.62 } },
  };
  assert.deepEqual(redacted(facts), expected);
  assert.deepEqual(redacted("text"), undefined);
});
