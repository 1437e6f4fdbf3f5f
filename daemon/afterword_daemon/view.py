"""How the daemon's facts look in a terminal, to people.

Knows what the facts are called, words for spans and sizes, and colours; asks nobody for them.
What comes from here goes to the terminal through `put`, which knows what that can show.
"""

import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TextIO

from afterword_trainer.view import visible

from afterword_daemon.protocol import Latency, Learning, Model, Status, Watched

GREEN, YELLOW, RED, CYAN, FAINT = "32", "33", "31", "36", "2"


def put(
    text: str, *, stream: TextIO | None = None, environ: Mapping[str, str] = os.environ
) -> None:
    """Print lines in the colours and signs that the stream can show."""
    stream = stream or sys.stdout
    if not _has_colours(stream, environ):
        text = _COLOUR.sub("", text)
    if not (stream.encoding or "").lower().startswith("utf"):
        text = text.translate(_ASCII_OF)
    print(text, file=stream, flush=True)


def painted(text: str, colour: str) -> str:
    """`text` in a colour, for `put`."""
    return f"\x1b[{colour}m{text}\x1b[0m"


def hints(*commands: str) -> str:
    """What to type next, below a blank line."""
    return "".join(f"\n{painted(f'hint: {visible(command)}', CYAN)}" for command in commands)


# -- the daemon --------------------------------------------------------------------------------

NOT_RUNNING = f"{painted('○', FAINT)} not running; the first editor starts it"
N_LABEL = 11  # columns before a fact


def not_running(obstacle: str) -> str:
    """That there is no daemon, and why there can be none, if anything is in the way."""
    return f"{painted('●', YELLOW)} not running\n{notice(obstacle)}" if obstacle else NOT_RUNNING


def headline(status: Status, now: float) -> str:
    """The one line: how the daemon is."""
    colour = dict.fromkeys(("ready", "learning", "forgetting"), GREEN).get(status.state, YELLOW)
    since_s = now - status.started
    running = f"running for {span(since_s)}" if since_s >= 1 else "just started"
    parts = [f"{status.state.replace('-', ' ')}, {running}"]
    if latency := status.latency_ms:
        parts.append(f"answers in {latency.p50:.1f} ms (p95 {latency.p95:.1f})")
    parts.append(size(status.resident))
    parts.append("a network socket!" if status.network else "offline")
    return f"{painted('●', colour)} {' · '.join(parts)}"


def status(daemon: Status, now: float) -> Iterator[str]:
    """The lines of `afterword status`."""
    yield headline(daemon, now)
    yield _fact("model", model(daemon.model, now))
    editors = daemon.clients - 1  # the last is whoever asks
    yield _fact(
        "editors",
        f"{n_of(editors, 'editor')}, {n_of(daemon.documents, 'document')}"
        if editors > 0
        else "none connected",
    )
    if requests := daemon.requests:
        total = sum(requests.values())
        largest = sorted(requests.items(), key=lambda item: -item[1])[:4]
        yield _fact("requests", f"{total:,}: " + ", ".join(f"{n:,} {name}" for name, n in largest))
    cpu = daemon.cpu_s
    yield _fact("processor", f"{span(cpu.today)} today, {span(cpu.since_start)} since the start")
    yield _fact("memory", memory(daemon))
    yield _fact("network", network(daemon))
    yield from watched(daemon.watched, is_paused=daemon.state == "paused")
    if daemon.watched or daemon.learning.forgotten or daemon.learning.state == "forgetting":
        yield from learning(daemon.learning, now)
    if folders := dict.fromkeys(str(Path(path).parent) for path in daemon.files.values() if path):
        yield _fact("files", painted(f"in {', '.join(folders)}", FAINT))
        yield _fact("", painted("each of them: afterword status --files", FAINT))
    if daemon.detail:
        yield notice(daemon.detail)


def files(daemon: Status) -> Iterator[str]:
    """The lines of `afterword status --files`: every file of the daemon's."""
    width = max(map(len, daemon.files), default=0)
    for name, path in daemon.files.items():
        yield f"  {name:<{width}}  {visible(path)}"


def notice(text: str) -> str:
    """What is not as it should be, in a line."""
    return painted(f"# {visible(text)}", YELLOW)


def watched(
    folders: Sequence[Watched], *, is_paused: bool = False, is_running: bool = True
) -> Iterator[str]:
    """The folders that are learned from, and what is odd about them."""
    label = "learns from"
    if not folders:
        yield _fact(label, "no folder yet; to name one: afterword watch add FOLDER")
    unread = "not read yet" if is_running else "read while the daemon runs"
    if is_paused:
        unread = "not read while learning is paused"
    for folder in folders:
        told = n_of(folder.files, "file") if folder.mode else unread
        if folder.mode not in ("", "events"):
            told += f", {folder.mode}"
        yield _fact(label, f"{visible(folder.path)} ({told})")
        if folder.detail:
            yield _fact("", painted(visible(folder.detail), YELLOW))
        label = ""


def learning(facts: Learning, now: float) -> Iterator[str]:
    """What the training of the weights is about, and what the last one brought."""
    state, waiting = facts.state, facts.waiting_characters
    if state == "training":
        told = f"training, {100 * (facts.share or 0):.0f} %"
    elif state == "halted":
        told = f"training stands still at {100 * (facts.share or 0):.0f} %: {visible(facts.detail)}"
    elif state == "forgetting":
        told = "forgetting"
        if facts.share is not None:
            told += f"; the model is made anew, {100 * facts.share:.0f} %"
    elif state == "idle":
        told = "nothing waits for the weights"
        if waiting:
            told = f"{waiting:,} characters wait for more to come, and then for the weights"
    else:
        told = visible(facts.detail or state)
        if waiting:
            told += f"; {waiting:,} characters wait for the weights"
    if facts.next:
        told += f", again in {span(facts.next - now)}"
    yield _fact("learning", told)
    if forgot := facts.forgotten:
        yield _fact("", f"{age(_iso(forgot.when), now)}: {visible(forgot.sentence)}")
    if last := facts.last:
        yield _fact("last", f"{age(_iso(last.when), now)}: {visible(last.sentence)}")


def _iso(when: float) -> str:
    return datetime.fromtimestamp(when, timezone.utc).isoformat()


def network(status: Status) -> str:
    """Whether anything of the daemon could leave this machine."""
    if status.network:
        return painted(f"{n_of(status.network, 'socket')}! see: afterword doctor network", RED)
    if status.confinement == "none":
        return "no connection"
    return "no connection, and the kernel would refuse any"


def model(one: Model | None, now: float) -> str:
    """A model with its age and its scores."""
    if one is None:
        return "none"
    found = [one.id, f"made {age(one.created, now)}"]
    if bits := one.scores.get("bits_per_character"):
        found.append(f"{bits:.2f} bits per character")
    if saved := one.scores.get("ksr"):
        found.append(f"saves {saved:.0f} % of keystrokes")
    return ", ".join(found)


def memory(status: Status) -> str:
    """How much is resident, and what of it is used for what, the largest first."""
    parts = dict(status.memory)
    parts["Python and libraries"] = status.resident - sum(parts.values())
    ordered = sorted(parts.items(), key=lambda item: -item[1])
    told = ", ".join(f"{name} {size(n_bytes)}" for name, n_bytes in ordered if n_bytes > 0)
    return f"{size(status.resident)}: {told}"


def _fact(label: str, text: str) -> str:
    return f"  {label:<{N_LABEL}} {text}"


def n_of(n: int, noun: str) -> str:
    """1 file, 2 files."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


# -- counts ------------------------------------------------------------------------------------


def stats(
    facts: Mapping[str, Any], latency_ms: Latency | None, today: date, *, is_on: bool
) -> Iterator[str]:
    """The lines of `afterword stats`."""
    yield painted(f"  {'':<{N_LABEL}} {'shown':>8} {'taken':>14} {'keys saved':>12}", FAINT)
    week = (today - timedelta(days=6)).isoformat()
    for label, since in (("today", today.isoformat()), ("seven days", week), ("in all", "")):
        # A clock that was ahead for a while leaves days to come behind; they count in all.
        until = today.isoformat() if since else "~"
        counted = facts.get("days", {}).items()
        days = [counts for day, counts in counted if since <= day <= until]
        shown, taken, partly, characters = (
            sum(counts.get(name, 0) for counts in days)
            for name in ("shown", "accepted", "partly", "characters")
        )
        taken += partly
        share = f"{taken:,} ({100 * taken / shown:.0f} %)" if shown else "–"
        saved = max(0, characters - taken)  # each of them took a key
        yield _fact(label, f"{shown:>8,} {share:>14} {saved:>12,}")
    if latency_ms:
        yield ""
        yield f"  answers in {latency_ms.p50:.1f} ms, 19 of 20 within {latency_ms.p95:.1f} ms"
    yield ""
    if is_on:
        yield painted(
            "  what editors showed, as numbers, on this machine; to stop: afterword stats off",
            FAINT,
        )
    else:
        yield painted("  nothing is counted now; to count: afterword stats on", FAINT)


# -- the doctor --------------------------------------------------------------------------------

MARKS = {
    "ok": ("✓", GREEN),
    "warning": ("!", YELLOW),
    "failed": ("✗", RED),
    "skipped": ("–", FAINT),
}


def finding(
    check: str, state: str, found: str, remedy: str, *, width: int | None = None
) -> Iterator[str]:
    """One check: its mark, its name and what was found; below it what else, and the remedy.

    Lines are broken between words to fit `width` columns; None leaves them as they are.
    """
    mark, colour = MARKS[state]
    label = f"[{painted(mark, colour)}] {check:<{N_LABEL - 2}} "
    indentation = " " * (N_LABEL + 3)
    for line in visible(found, keep="\n").split("\n"):
        for part in _broken(line, width):
            yield f"{label}{part}"
            label = indentation
    if remedy:
        yield from (
            f"{indentation}{painted(part, CYAN)}" for part in _broken(f"fix: {remedy}", width)
        )


def verdict(states: Sequence[str]) -> str:
    """The last line of `afterword doctor`."""
    counted = [
        n_of(n, noun)
        for noun, state in (("problem", "failed"), ("warning", "warning"))
        if (n := states.count(state))
    ]
    return ", ".join(counted) or "all is well"


def _broken(line: str, width: int | None) -> Sequence[str]:
    if width is None:
        return [line]
    room = max(width - N_LABEL - 3, 2 * N_LABEL)
    return textwrap.wrap(line, room, break_long_words=False, break_on_hyphens=False)


# -- words and figures -------------------------------------------------------------------------


def span(seconds: float) -> str:
    """A length of time in its two largest units: 1.4 s, 3 min 20 s, 2 h 14 min, 3 d 4 h."""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, name, next_unit, next_name in _UNITS:
        if whole >= unit:
            n, rest = divmod(whole, unit)
            return f"{n} {name}" + (
                f" {rest // next_unit} {next_name}" if rest // next_unit else ""
            )
    return f"{whole} s"


def age(created: str, now: float) -> str:
    """How long ago an ISO 8601 time was, in words."""
    try:
        made = datetime.fromisoformat(created.replace("Z", "+00:00"))
    except ValueError:
        return "at an unknown time"
    made = made if made.tzinfo else made.replace(tzinfo=timezone.utc)
    seconds = now - made.timestamp()
    if not 0 <= seconds < 60 * 86400:
        return f"on {made:%Y-%m-%d}"
    for unit, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= unit:
            return f"{n_of(int(seconds / unit), name)} ago"
    return "just now"


def size(n_bytes: float) -> str:
    """Bytes as 512 kB or 21 MB."""
    if n_bytes < 1 << 20:
        return f"{n_bytes / 1024:.0f} kB"
    return f"{n_bytes / (1 << 20):.0f} MB"


_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
_COLOUR = re.compile("\x1b\\[[0-9]+m")
_ASCII_OF = str.maketrans("·✓✗–●○µ×", "|+X-*oux")


def _has_colours(stream: TextIO, environ: Mapping[str, str]) -> bool:
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and environ.get("TERM", "").lower() not in ("dumb", "unknown")
