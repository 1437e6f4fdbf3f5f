/**
 * What may be copied into a bug report: numbers, yes and no, and words from a short list. No text, no paths, no names.
 *
 * Pure. It lists what may leave rather than what may not.
 */

// Their values are words of ours: a state, a mode, a version.
const WORDS = new Set(["state", "mode", "how", "build", "confinement", "trigger", "eagerness", "reason", "model"]);
const MOST = 60; // characters; a word is no longer

/** The same without what could tell of the user. */
export function redacted(value: unknown, name = ""): unknown {
  if (typeof value === "number" || typeof value === "boolean" || value === null) return value;
  if (typeof value === "string") return WORDS.has(name) && /^[\w.+-]*$/.test(value) ? value.slice(0, MOST) : undefined;
  if (Array.isArray(value)) return value.map((item) => redacted(item, name));
  if (typeof value !== "object") return undefined;
  const kept = Object.entries(value)
    .filter(([key]) => /^[\w*-]{1,40}$/.test(key))
    .map(([key, item]) => [key, redacted(item, key)] as const)
    .filter(([, item]) => item !== undefined);
  return Object.fromEntries(kept);
}
