"""What an editor's status item shows: a state, a sentence, and what the user can do next.

Pure: from what the daemon told and what is off to one object, the same in every editor. Knows
words and commands; knows no order of events.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from afterword_daemon import protocol
from afterword_daemon.starting import DaemonError

from afterword_lsp.documents import MOST_CHARACTERS, MOST_CHARACTERS_IN_LINE

# Why nothing is asked for a document, or in the whole editor; "" where suggestions are on.
Off = Literal["", "off", "language", "config", "buffer", "forgotten", "secret-file", "too-big"]

# By reason: a sentence, and what can be done about it: a command, its title and its argument.
# {language} and {uri} are those of the document.
_OFF: Final[Mapping[Off, tuple[str, tuple[str, str, str] | None]]] = {
    "off": ("Suggestions are off.", ("Turn suggestions on", "afterword.toggle", "")),
    "language": (
        "Suggestions are off for {language}.",
        ("Turn them on for {language}", "afterword.toggle", "{language}"),
    ),
    "config": (
        "Suggestions are off for {language} in config.toml.",
        ("Open the settings", "afterword.settings", ""),
    ),
    "buffer": (
        "Suggestions are off in this document.",
        ("Turn them on here", "afterword.toggle", "{uri}"),
    ),
    "forgotten": (
        "This document was forgotten; nothing in it is read until it is opened anew.",
        ("Turn suggestions on here", "afterword.toggle", "{uri}"),
    ),
    "secret-file": ("A file of this name may hold secrets, so nothing in it is read.", None),
    "too-big": (
        f"Text of more than {MOST_CHARACTERS:,} characters, or with a line of more than "
        f"{MOST_CHARACTERS_IN_LINE:,}, is not read.",
        None,
    ),
}

# The same by what the daemon is about. Where it tells a detail, that is the sentence.
_STATES: Final[Mapping[str, tuple[str, tuple[str, str, str] | None]]] = {
    "starting": ("Afterword is starting.", None),
    "ready": (
        "Suggestions come as you type.",
        ("Why is there no suggestion?", "afterword.whyNoSuggestion", ""),
    ),
    "manual": (
        "Suggestions come when you ask for them.",
        ("Why is there no suggestion?", "afterword.whyNoSuggestion", ""),
    ),
    "learning": (
        "It is learning from your files; suggestions go on meanwhile.",
        ("Pause learning", "afterword.pause", ""),
    ),
    "forgetting": ("It is forgetting what you asked it to; suggestions go on meanwhile.", None),
    "paused": (
        "Learning is paused; suggestions go on.",
        ("Resume learning", "afterword.resume", ""),
    ),
    "no-model": (
        "There is no model yet.",
        ("Learn this workspace", "afterword.learnWorkspace", ""),
    ),
    "degraded": ("Something is wrong; see: afterword doctor", None),
    "draining": ("The daemon is ending; the next one is started when it is needed.", None),
    "unavailable": ("There is no daemon; see: afterword doctor", None),
}


def explained(reason: Off, language: str) -> str:
    """A sentence on why suggestions are off."""
    return _OFF[reason][0].format(language=language or "this language")


def status(
    news: protocol.Changed | None,
    problem: DaemonError | None,
    *,
    off: Off = "",
    uri: str = "",
    language: str = "",
    is_manual: bool = False,
    latency_ms: float | None = None,
) -> dict[str, Any]:
    """As an editor is told it; `news` is what the daemon told last, None while there is none.

    state      "off": everywhere; "off-here"; "unavailable": no daemon; else `protocol.State`
    reason     why it is off, a code; else ""
    enabled    whether suggestions are wanted here
    detail     one sentence for a tooltip
    next       what the user can do now: {"title", "command", "arguments"}, or None
    work       what goes on beside: "learning", "forgetting" or ""
    percent    of that work, 0 to 100; None while there is nothing to tell
    forgotten  what came of forgetting, a sentence, once when it has ended; else ""
    model      the id of the one in use, or ""
    latency_ms from the last request to its answer, as this server saw it; None before the first
    """
    state: str = news.state if news else "unavailable" if problem else "starting"
    detail = news.detail if news else str(problem or "")
    usual, act = _STATES["manual" if state == "ready" and is_manual else state]
    if off:
        state = "off" if off == "off" else "off-here"
        detail, act = "", _OFF[off][1]
        if off == "config" and news and news.state == "degraded":
            detail = f"{explained(off, language)} {news.detail}"  # the file may have a mistake
        usual = explained(off, language)
    share = news.progress if news else None
    work = "" if share is None else "learning"
    if news and news.state == "forgetting":
        work = "forgetting"
    return {
        "state": state,
        "reason": off,
        "enabled": not off,
        "detail": detail or usual,
        "next": _next(*act, uri=uri, language=language) if act else None,
        "work": work,
        "percent": None if share is None else round(100 * share),
        "forgotten": news.forgotten if news else "",
        "model": news.model if news else "",
        "latency_ms": latency_ms,
    }


def _next(title: str, command: str, argument: str, *, uri: str, language: str) -> dict[str, Any]:
    argument = argument.format(uri=uri, language=language)
    return {
        "title": title.format(language=language or "this language"),
        "command": command,
        "arguments": [argument] if argument else [],
    }
