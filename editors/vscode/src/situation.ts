/**
 * What Afterword is about at the moment, and how that is said: one icon, a word, a sentence, what to do next.
 *
 * Pure; knows neither the editor nor the server's process.
 */

export const STATES = [
  "missing", // the language server is not installed
  "stopped", // it ended again and again, or cannot be started
  "starting",
  "unavailable", // the language server runs and finds no daemon
  "no-model",
  "degraded", // suggestions come, but something is wrong
  "ready",
  "learning",
  "forgetting",
  "paused",
  "off",
  "off-here", // in this document, for a reason of its own
] as const;
export type State = (typeof STATES)[number];

export interface Situation {
  /** The document that it is about; empty for none. */
  readonly uri: string;
  readonly state: State;
  /** One sentence for people; perhaps empty. */
  readonly detail: string;
  /** 0 to 100, while something goes on of which that is known. */
  readonly percent: number | undefined;
  readonly model: string;
  /** Why it is off, a word of the server's; empty where it is not. */
  readonly reason: string;
  /** What came of forgetting, told once. */
  readonly forgotten: string;
}

/** Where the user is. */
export interface Here {
  /** Of the document that is worked on; empty if there is none. */
  readonly language: string;
  readonly isOn: boolean;
  /** `editor.inlineSuggest.enabled` is off, so that suggestions come in the menu. */
  readonly isInMenu: boolean;
  /** A folder was taught from an editor, now or earlier. */
  readonly wasTaught: boolean;
}

export interface Step {
  readonly label: string;
  readonly command: string;
}

export interface Face {
  readonly icon: string;
  readonly text: string;
  readonly sentence: string;
  readonly next: Step | undefined;
}

export function situation(state: State, detail = ""): Situation {
  return { uri: "", state, detail, percent: undefined, model: "", reason: "", forgotten: "" };
}

/** The server's notification `afterword/status`; what it does not say, or we do not know, claims nothing. */
export function told(status: unknown): Situation {
  const said = typeof status === "object" && status !== null ? (status as Record<string, unknown>) : {};
  const word = (value: unknown): string => (typeof value === "string" ? value : "");
  return {
    uri: word(said.uri),
    state: STATES.find((state) => state === said.state) ?? "starting",
    detail: word(said.detail),
    percent: typeof said.percent === "number" ? said.percent : undefined,
    model: word(said.model),
    reason: word(said.reason),
    forgotten: word(said.forgotten),
  };
}

export function face(now: Situation, here: Here): Face {
  const found = faceOf(now, here);
  if (!here.isInMenu || !suggests(now) || !here.isOn) return found;
  const menu = "Inline suggestions are off in this editor (editor.inlineSuggest.enabled), so they come in the menu.";
  return { ...found, sentence: `${found.sentence} ${menu}` };
}

/** Per cent, where they are known. */
export function percent(now: Situation): string {
  return now.percent === undefined ? "" : `${now.percent} %`;
}

/** Whether suggestions can come. */
export function suggests({ state }: Situation): boolean {
  return SUGGESTS.has(state);
}

const SUGGESTS: ReadonlySet<State> = new Set(["ready", "learning", "forgetting", "paused", "degraded"]);
const TEACH: Step = { label: "Learn this workspace", command: "afterword.learnWorkspace" };
const RESTART: Step = { label: "Restart", command: "afterword.restart" };

function faceOf(now: Situation, here: Here): Face {
  if ((suggests(now) || now.state === "off-here") && !here.isOn) return faceWhenOff(here);
  switch (now.state) {
    case "missing":
      return {
        icon: "warning",
        text: "Afterword",
        sentence: now.detail || "The language server, afterword-lsp, was not found.",
        next: { label: "How to install it", command: "afterword.howToInstall" },
      };
    case "stopped":
      return { icon: "warning", text: "Afterword", sentence: now.detail || "The language server ended.", next: RESTART };
    case "unavailable":
      return { icon: "warning", text: "Afterword", sentence: now.detail || "There is no daemon to ask.", next: RESTART };
    case "no-model":
      return { icon: "warning", text: "no model", sentence: now.detail || "There is no model yet.", next: TEACH };
    case "degraded":
      return {
        icon: "warning",
        text: "Afterword",
        sentence: now.detail || "Something is wrong.",
        next: { label: "Show log", command: "afterword.showLog" },
      };
    case "starting":
      return { icon: "loading~spin", text: "Afterword", sentence: now.detail || "Starting.", next: undefined };
    case "learning":
      return { icon: "mortar-board", text: percent(now) || "learning", sentence: learns(now, "Learning"), next: undefined };
    case "forgetting":
      return { icon: "eraser", text: percent(now) || "forgetting", sentence: learns(now, "Forgetting"), next: undefined };
    case "paused":
      return {
        icon: "debug-pause",
        text: "paused",
        sentence: "Learning is paused; suggestions go on.",
        next: { label: "Resume learning", command: "afterword.resume" },
      };
    case "off":
      return faceWhenOff(here);
    case "off-here":
      return {
        icon: "circle-slash",
        text: "off here",
        sentence: now.detail || "Suggestions are off in this document.",
        next: now.reason === "config" ? { label: "Open settings file", command: "afterword.settings" } : undefined,
      };
    case "ready":
      return {
        icon: "edit",
        text: "Afterword",
        sentence: `Ready: grey text appears as you type, and Tab takes it.${now.model ? ` Model: ${now.model}.` : ""}`,
        next: here.wasTaught ? undefined : TEACH,
      };
  }
}

function faceWhenOff(here: Here): Face {
  const where = here.language ? ` in ${here.language}` : "";
  return {
    icon: "circle-slash",
    text: "off",
    sentence: `Suggestions are off${where}: nothing is asked, and nothing of it is learned.`,
    next: { label: "Turn them on", command: "afterword.toggle" },
  };
}

function learns(now: Situation, what: string): string {
  const much = percent(now);
  return `${what}${much ? `, ${much}` : ""}. ${now.detail || "Suggestions go on."}`;
}
