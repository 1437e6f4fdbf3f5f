/**
 * The setting `afterword.enable`: languages to yes or no, "*" for all others; and what a switch makes of it.
 *
 * Pure. "Off" has to be off everywhere, and "on" again has to be what it was before, not more.
 */

export type Enabling = Readonly<Record<string, boolean>>;

export function isOn(enabling: Enabling, language: string): boolean {
  return enabling[language] ?? enabling["*"] ?? true;
}

/** Off for every language that is named, and for all others. */
export function allOff(enabling: Enabling): Enabling {
  const names = ["*", ...Object.keys(enabling)];
  return Object.fromEntries(names.map((name) => [name, false]));
}

/** On again here, as it was before, or as little more than that as it takes. */
export function onAgain(enabling: Enabling, before: Enabling | undefined, language: string): Enabling {
  const restored = before ?? (isEverythingOff(enabling) ? { "*": true } : { ...enabling, "*": true });
  return isOn(restored, language) ? restored : { ...restored, [language || "*"]: true };
}

/** The other way round for one language. */
export function switched(enabling: Enabling, language: string): Enabling {
  return { ...enabling, [language]: !isOn(enabling, language) };
}

function isEverythingOff(enabling: Enabling): boolean {
  return Object.values(enabling).every((on) => !on);
}
