"""Why there is no suggestion: codes for programs, sentences for people.

Knows words; knows nothing of how it comes to that.
"""

from dataclasses import dataclass
from enum import Enum


class Reason(str, Enum):
    """Why there is no suggestion, as `Completed.reason` has it."""

    NO_MODEL = "no-model"
    DISABLED = "disabled"
    MANUAL = "manual"
    LONG_LINE = "long-line"
    NO_TEXT = "no-text"
    NOTHING = "nothing"
    UNSURE = "unsure"
    OVERLAP = "overlap"
    SECRET = "secret"
    SUPERSEDED = "superseded"


EXPLANATIONS = {
    Reason.NO_MODEL: "there is no model yet; learn your files with: trainer learn PATH",
    Reason.DISABLED: "suggestions are switched off for this language (`enable` in the settings)",
    Reason.MANUAL: "suggestions come only when asked for (`trigger` in the settings)",
    Reason.LONG_LINE: "the line is so long that it looks like data, not like writing",
    Reason.NO_TEXT: "there is no text yet to go on from",
    Reason.NOTHING: "nothing that would save a key is probable enough",
    Reason.UNSURE: "the model is not sure enough (`eagerness` in the settings)",
    Reason.OVERLAP: "what would be suggested stands right of the cursor already",
    Reason.SECRET: "it looked like a password or a key",
    Reason.SUPERSEDED: "the text changed before there was an answer",
}


@dataclass(frozen=True, slots=True)
class Why:
    """Why there was no suggestion; None if there was one."""

    reason: Reason | None
    probability: float | None = None
    min_probability: float = 0.0
