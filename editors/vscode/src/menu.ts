/** The menu behind the status item: what one may want now, in the order in which one wants it. Pure. */

import { type Here, type Situation, face } from "./situation";

export interface Entry {
  readonly label: string;
  readonly detail?: string;
  /** Undefined for a line between groups. */
  readonly command?: string;
}

export function entries(now: Situation, here: Here): readonly Entry[] {
  const { next } = face(now, here);
  const language = here.language || "this language";
  const isPaused = now.state === "paused";
  const all: Entry[] = [
    ...(next ? [entry("arrow-right", next.label, next.command)] : []),
    { label: "Suggestions" },
    entry(here.isOn ? "circle-slash" : "edit", here.isOn ? "Turn off" : "Turn on", "afterword.toggle"),
    ...(here.language
      ? [entry("symbol-key", `Turn ${here.isOn ? "off" : "on"} for ${language}`, "afterword.toggleLanguage")]
      : []),
    entry("question", "Why is there no suggestion?", "afterword.whyNoSuggestion"),
    { label: "Learning" },
    entry("mortar-board", "Learn this workspace", "afterword.learnWorkspace"),
    isPaused
      ? entry("debug-start", "Resume learning", "afterword.resume")
      : entry("debug-pause", "Pause learning", "afterword.pause"),
    entry("eraser", "Forget this file…", "afterword.forgetFile"),
    entry("graph", "Statistics", "afterword.statistics"),
    entry("book", "Learning report", "afterword.report"),
    { label: "Afterword" },
    entry("gear", "Settings file", "afterword.settings"),
    entry("lightbulb", "Walkthrough", "afterword.walkthrough"),
    entry("refresh", "Restart", "afterword.restart"),
    entry("output", "Show log", "afterword.showLog"),
    entry("clippy", "Copy debug information", "afterword.copyDebugInformation"),
  ];
  return all.filter((one, place) => !next || place === 0 || one.command !== next.command);
}

function entry(icon: string, label: string, command: string): Entry {
  return { label: `$(${icon}) ${label}`, command };
}
