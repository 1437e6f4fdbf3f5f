"""What the user set: one TOML file, all of it optional, checked whole.

Knows each setting, its default with the reason, and what may be written for it; says everything
that is wrong with the file at once. What cannot be understood never turns on what somebody may
have turned off. Knows nothing of who acts on it.

    ConfigError     the file cannot be used: each mistake with its line
"""

import codecs
import difflib
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from afterword_trainer import durable
from afterword_trainer.model.suggestion import EAGERNESS
from afterword_trainer.paths import Paths

from afterword_daemon.protocol import MAX_ALTERNATIVES, MAX_CHARACTERS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST_BYTES = 1 << 16  # of the file; a longer one is something else
MOST_TOLD = 20  # mistakes; who has more has one that explains the others
MOST_SHOWN = 40  # characters of a key or a value in a message
MOST_DEEP = 16  # tables and lists within each other; ours need two
LEAST_IDLE_MINUTES = 0.1  # the daemon is to be there still when its starter says hello
MOMENT_S = 2.0  # editors empty or move a file before they write it; who means that can wait

Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """Whether the daemon learns, and when it does so in the background."""

    enable: bool = True  # what is typed, what is open, and the folders in `watch`
    quiet_s: float = 2.0  # editors save in bursts; shorter would learn half of a change
    max_cpu_percent: float = 25.0  # of one core, over minutes: no fan starts for it
    on_battery: bool = False  # it can wait for the charger


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set; each field is the key of its name in the file."""

    enable: Mapping[str, bool] = field(default_factory=lambda: {"*": True})  # by language
    trigger: Literal["auto", "manual"] = "auto"  # at every key, or when asked
    temperature: float = 0.0  # 0 offers what is likeliest, which saves most keys
    max_characters: int = 80  # about a line; the model is hardly ever sure of more
    multiline: bool = False  # text that pushes lines down distracts
    alternatives: int = 3  # when asked for them; more are seldom read
    eagerness: str | float = "balanced"  # how sure a suggestion must be to be shown
    seed: int = 0  # of the drawing, where temperature is above 0
    idle_minutes: float = 30.0  # without any editor; a start takes under a second, memory is kept
    learning: Learning = Learning()
    stats: bool = True  # count what was taken, never what it said; the figures stay here
    watch: Sequence[Path] = ()  # folders to learn from: none that was not named
    ignore: Sequence[str] = ()  # patterns as in .gitignore, beside those that always hold

    @property
    def min_probability(self) -> float:
        """`eagerness` as a number: how probable a suggestion must be, 0 to 1."""
        return EAGERNESS[self.eagerness] if isinstance(self.eagerness, str) else self.eagerness

    def enabled_for(self, language: str) -> bool:
        """Whether suggestions are wanted in a document of this language."""
        return self.enable.get(language, self.enable.get("*", True))


# For whoever knows no others while the file cannot be read: it may say just this.
SILENT = Settings(
    enable={"*": False}, trigger="manual", learning=Learning(enable=False), stats=False
)

# What holds of a file that has mistakes, for whoever tells them.
REST_HOLDS = (
    "what is set above has its default, or is off where something can be switched off by it; "
    "all the others hold"
)
NOTHING_HOLDS = (
    "nothing in the file holds: a daemon that runs goes on as before, "
    "and one that starts neither suggests nor learns"
)


class WatchError(Exception):
    """A folder cannot be watched, or be watched no more; one sentence with its remedy."""


class ConfigError(Exception):
    """The file cannot be used as it is; one sentence with its remedy."""

    def __init__(
        self, path: Path, mistakes: Sequence[str], settings: Settings | None = None
    ) -> None:
        told = ", ".join(mistakes[:3])
        if len(mistakes) > 3:
            told += f" and {len(mistakes) - 3} more"
        super().__init__(f"{path}: {told}; correct it, then: afterword config check")
        self.path = path
        self.mistakes = tuple(mistakes)  # each one line, as "line 3: ..."; not too many
        self.is_unreadable = settings is None  # so that not a line of it holds
        self.settings = settings or SILENT  # what can be understood, for whoever has to go on


def path_of(paths: Paths) -> Path:
    """Where the file is, if there is one."""
    return paths.config / "config.toml"


def load(paths: Paths) -> Settings:
    """What is set; without a file, the defaults. Raises ConfigError."""
    path = path_of(paths)
    try:
        data = durable.read(path, at_most=MOST_BYTES)
    except durable.StateError as error:
        if not os.path.lexists(path):
            return Settings()
        what = str(error).removeprefix(f"{path}: ").partition("; ")[0]
        what += " (make it a file that you can read, or move it away)"
        raise ConfigError(path, [what]) from error
    text, value = _parsed(path, data)
    mistakes: list[_Mistake] = []
    top = _checked((), value, _TOP, mistakes)
    learning = _checked(("learning",), top.pop("learning", {}), _LEARNING, mistakes)
    enable = top.pop("enable", {})
    enable = _checked(("enable",), enable, dict.fromkeys(enable, _YES_OR_NO), mistakes)
    silenced = {mistake.silences for mistake in mistakes}
    if ("stats",) in silenced:
        top["stats"] = False
    if ("trigger",) in silenced:
        top["trigger"] = "manual"
    if silenced & {("learning",), ("learning", "enable")}:
        learning["enable"] = False
    if ("enable",) in silenced:
        enable["*"] = False
    enable |= {key[1]: False for key in silenced if key[:1] == ("enable",) and len(key) == 2}
    if "watch" in top:
        top["watch"] = tuple(dict.fromkeys(_folders(top["watch"], mistakes)))
    if "ignore" in top:
        top["ignore"] = tuple(top["ignore"])
    settings = Settings(**top, enable={"*": True} | enable, learning=Learning(**learning))
    if mistakes:
        lines = _lines(text)
        found = sorted((_line_of(lines, mistake.key), mistake) for mistake in mistakes)
        sentences = [f"line {line}: {mistake.sentence}" for line, mistake in found[:MOST_TOLD]]
        if len(found) > MOST_TOLD:
            line, _ = found[MOST_TOLD]
            sentences.append(f"line {line}: and {len(found) - MOST_TOLD:,} more from here on")
        raise ConfigError(path, sentences, settings)
    return settings


def in_force(paths: Paths, before: Settings | None = None) -> tuple[Settings, str]:
    """What to go by, and what is to be said of it; "" if all is well.

    `before` is what held so far, if anybody knows: it goes on where nothing in the file can be
    read. Who knows nothing then learns nothing and suggests nothing.
    """
    path = path_of(paths)
    # `SILENT` was no choice of the user's: the word for it stays the same.
    goes_on = "nothing is suggested or learned" if before in (None, SILENT) else "all is as before"
    # Who has just come and finds no file need not suppose that there was one.
    if _is_being_written(path) and (before or path.exists()):
        return before or SILENT, f"{path}: it is empty for the moment, so {goes_on}"
    try:
        return load(paths), ""
    except ConfigError as error:
        if not error.is_unreadable:
            return error.settings, str(error)
        what, _, remedy = str(error).partition("; ")
        return before or SILENT, f"{what}, so {goes_on}; {remedy}"


def stamp(paths: Paths) -> Stamp | None:
    """Changes whenever the file does: what to compare before loading it again; None: no file."""
    path = path_of(paths)
    if _is_being_written(path):
        return _FOR_THE_MOMENT
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


_FOR_THE_MOMENT: Stamp = (0, -1, 0)


def write_template(paths: Paths) -> Path:
    """Write the commented file where there is none; its path. Raises StateError."""
    path = path_of(paths)
    durable.write_new(path, TEMPLATE.encode())
    return path


def put(paths: Paths, key: str, value: str) -> None:
    """Set a key of the top level to `value`, in TOML, and leave every other line as it is.

    Where there is no file yet it becomes the commented one, with that key in its place.

    Raises ConfigError if the file cannot be read as it is now; durable.StateError.
    """
    path = path_of(paths)
    data = TEMPLATE.encode()
    if is_there := path.exists():
        load(paths)
        data = durable.read(path, at_most=MOST_BYTES)
    text = data.decode("utf-8-sig")
    lines = text.split("\n")
    line = f"{key} = {value}" + ("\r" if lines[0].endswith("\r") else "")
    for start, end, keys in _statements(text):
        if (key,) in keys:
            lines[start - 1 : end] = [line]
            break
    else:
        examples = [n for n, one in enumerate(lines) if one.startswith(f"#{key} = ")]
        if examples and not is_there:
            lines[examples[0]] = line
        else:
            lines.insert(0, line)  # above all tables, where it belongs to none of them
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    # The real file: dotfiles are often links into a folder that is kept elsewhere.
    durable.replace(path.resolve(), mark + "\n".join(lines).encode())


def watched(
    paths: Paths, *, add: Sequence[Path] = (), remove: Sequence[Path] = ()
) -> tuple[Path, ...]:
    """Change which folders are watched; those that are by now, absolute.

    Raises WatchError for a folder to add that is none, and one to remove that is not watched;
    ConfigError if the file cannot be read as it is now; durable.StateError.
    """
    add, remove = [*map(whole_path, add)], [*map(whole_path, remove)]
    if not add and not remove:
        return tuple(load(paths).watch)
    # Of two changes at once none is lost.
    with durable.locked(paths.data / "settings.lock", wait_s=_LOCK_WAIT_S):
        return _watched(paths, add, remove)


def _watched(paths: Paths, add: Sequence[Path], remove: Sequence[Path]) -> tuple[Path, ...]:
    before = load(paths).watch
    for folder in add:
        if _SURROGATE.search(str(folder)):
            shown = str(folder).encode(errors="replace").decode()
            raise WatchError(f"{shown}: this name is not UTF-8; rename it, or name one above it")
        if folder.is_file():
            raise WatchError(f"{folder}: it is a file; name its folder, {folder.parent}")
        if not folder.is_dir():
            raise WatchError(f"{folder}: there is no such folder; name one that there is")
        if folder.samefile("/"):
            raise WatchError(f"{folder}: that is the whole machine; name folders of your own")
    for folder in remove:
        if folder not in before:
            raise WatchError(f"{folder}: it is not watched; afterword watch list")
    # By whatever name it is called: one folder is not read twice.
    known = {folder.resolve(): folder for folder in [*add[::-1], *before[::-1]]}
    now = tuple(
        folder
        for folder in dict.fromkeys([*before, *add])
        if folder not in remove and (folder in before or known[folder.resolve()] == folder)
    )
    if now != tuple(before):
        put(paths, "watch", json.dumps([*map(str, now)], ensure_ascii=False))
    return now


def flat(settings: Settings) -> Iterator[tuple[str, str]]:
    """Every setting as it would be written: its name and its value."""
    for name, value in asdict(settings).items():
        for inner, one in value.items() if isinstance(value, dict) else [("", value)]:
            key = (
                f"{name}.{json.dumps(inner) if inner == '*' else _shown(inner)}" if inner else name
            )
            yield key, _as_written(one)


TEMPLATE = """\
# Settings of Afterword. Every line is optional and stands here with its default.
# Saving this file is enough: they hold a second later.
# `afterword config check` says what is wrong with it, line by line; what cannot be understood
# never turns on what you may have turned off.

# Offer a suggestion at every key ("auto") or only when the editor asks for one ("manual").
#trigger = "auto"

# How sure of itself a suggestion must be to be shown: "quiet", "balanced" or "chatty"; or a
# number from 0 (show all) to 1.
#eagerness = "balanced"

# 0 offers what is likeliest; up to 2, alternatives become more daring. The seed decides which.
#temperature = 0.0
#seed = 0

# Characters of a suggestion at most, whether it may go beyond the end of the line, and how many
# there are to choose from when you ask for them.
#max_characters = 80
#multiline = false
#alternatives = 3

# The daemon ends after so many minutes without an editor, and starts again with the next one.
# 0: it stays.
#idle_minutes = 30

# Count how many suggestions were taken, for `afterword stats`: numbers, no text, on this machine.
#stats = true

# Folders to learn from by itself (`afterword watch add FOLDER`), and what to leave out there
# (patterns as in .gitignore). Binary files, keys and passwords are always left out.
#watch = ["~/notes"]
#ignore = ["drafts/", "*.bak"]

# Suggestions by language, as editors call them; "*" stands for all others.
#[enable]
#"*" = true
#python = false

# Whether to learn what you type and what is open. Once it is false nothing is learned any more,
# and what was learned of open documents is forgotten. Then: seconds to wait after a file was
# saved, per cent of one core for training, and whether to train without a charger.
#[learning]
#enable = true
#quiet_s = 2.0
#max_cpu_percent = 25
#on_battery = false
"""


# -- what may be written -----------------------------------------------------------------------

Check = tuple[Callable[[Any], bool], str]


def _is_number(value: Any) -> bool:
    if isinstance(value, int):  # which may have more digits than any float
        return not isinstance(value, bool)
    return isinstance(value, float) and math.isfinite(value)


def _number(low: float, high: float) -> Check:
    return (
        lambda value: _is_number(value) and low <= value <= high,
        f"is a number from {low:g} to {high:g}",
    )


def _whole(low: int, high: int) -> Check:
    return (
        lambda value: isinstance(value, int) and _is_number(value) and low <= value <= high,
        f"is a whole number from {low} to {high}",
    )


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) and one.strip() for one in value)


def _is_eagerness(value: Any) -> bool:
    return value in EAGERNESS if isinstance(value, str) else _is_number(value) and 0 <= value <= 1


def _is_idle(value: Any) -> bool:
    return _is_number(value) and (value == 0 or LEAST_IDLE_MINUTES <= value <= 100_000)


def _are_folders(value: Any) -> bool:
    return _is_texts(value) and all(
        folder.startswith(("/", "~")) and "\0" not in folder for folder in value
    )


_YES_OR_NO: Check = (lambda value: isinstance(value, bool), "is true or false")
_TABLE: Check = (lambda value: isinstance(value, dict), "is a table")
_LEARNING: Mapping[str, Check] = {
    "enable": _YES_OR_NO,
    "quiet_s": _number(0.1, 3600),
    "max_cpu_percent": _number(1, 100),
    "on_battery": _YES_OR_NO,
}
_TOP: Mapping[str, Check] = {
    "enable": _TABLE,
    "trigger": (lambda value: value in ("auto", "manual"), 'is "auto" or "manual"'),
    "temperature": _number(0, 2),
    "max_characters": _whole(2, MAX_CHARACTERS),
    "multiline": _YES_OR_NO,
    "alternatives": _whole(1, MAX_ALTERNATIVES),
    "eagerness": (_is_eagerness, f"is one of {', '.join(EAGERNESS)}, or a number from 0 to 1"),
    "seed": _whole(0, 2**31 - 1),
    "idle_minutes": (_is_idle, f"is 0 or a number from {LEAST_IDLE_MINUTES:g} to 100000"),
    "stats": _YES_OR_NO,
    "learning": _TABLE,
    "watch": (_are_folders, 'is a list of folders, each from "/" or "~" on'),
    "ignore": (_is_texts, "is a list of patterns"),
}

_LOCK_WAIT_S = 10.0  # changes take a fraction of a second
_SURROGATE = re.compile("[\ud800-\udfff]")  # of bytes that no file of settings can hold

Key = tuple[str, ...]

# By these something can be switched off. What is meant for one of them and cannot be understood
# may have been to do so, and is taken for it.
_OFF: frozenset[Key] = frozenset(
    {("enable",), ("trigger",), ("stats",), ("learning",), ("learning", "enable")}
)


@dataclass(frozen=True, slots=True, order=True)
class _Mistake:
    key: Key
    what: str
    silences: Key = ()  # what is off for it, for all that anybody can tell

    @property
    def sentence(self) -> str:
        return f"{'.'.join(map(_shown, self.key))} {self.what}"


def _checked(
    where: Key, table: Mapping[str, Any], known: Mapping[str, Check], mistakes: list[_Mistake]
) -> dict[str, Any]:
    """The keys of `table` that are as they should be; the others are mistakes."""
    sound = {}
    for name, value in table.items():
        key = (*where, name)
        if name not in known:
            near = difflib.get_close_matches(name[:MOST_SHOWN], known, 1)
            hint = f": did you mean {near[0]}?" if near else ""
            meant = (*where, *near)
            silences = meant if meant in _OFF else ()
            mistakes.append(_Mistake(key, f"is no setting{hint}", silences))
        elif not known[name][0](value):
            silences = key if key in _OFF or where == ("enable",) else ()
            what = f"{known[name][1]}, not {_as_written(value, MOST_SHOWN)}"
            mistakes.append(_Mistake(key, what, silences))
        else:
            sound[name] = value
    return sound


def _folders(written: Sequence[str], mistakes: list[_Mistake]) -> Iterator[Path]:
    for folder in written:
        try:
            yield whole_path(Path(folder).expanduser())
        except RuntimeError:  # its way to say so
            what = f"is a list of folders, and nobody here is called {_shown(folder.split('/')[0])}"
            mistakes.append(_Mistake(("watch",), what))


def whole_path(folder: Path) -> Path:
    """From the root on and without `..`; names of links stay, as the user knows them."""
    return Path(os.path.abspath(folder))  # noqa: PTH100 - `resolve` would follow links


def _is_being_written(path: Path) -> bool:
    """Whether the file is gone or empty since a moment ago, as between two steps of an editor."""
    try:
        n_bytes, changed = 0, path.parent.stat().st_mtime
        with suppress(FileNotFoundError):
            status = path.stat()
            n_bytes, changed = status.st_size, status.st_mtime
    except OSError:
        return False
    return n_bytes == 0 and abs(time.time() - changed) < MOMENT_S


# -- what is shown of it -----------------------------------------------------------------------


def _shown(name: str) -> str:
    """A key as it may go to a terminal: nothing in it acts there, and it is not long."""
    shown = _escaped(name, MOST_SHOWN)
    return shown if shown == name else f'"{shown}"'


def _as_written(value: Any, at_most: int = MOST_BYTES) -> str:
    """A value in the same way."""
    try:
        return _escaped(json.dumps(value, default=str, ensure_ascii=False), at_most)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of very many digits"


def _escaped(text: str, at_most: int) -> str:
    text = text if len(text) <= at_most else f"{text[: at_most - 1]}…"
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


# -- where it was written ----------------------------------------------------------------------


def _lines(text: str) -> dict[Key, int]:
    """The line on which each key of sound TOML is set.

    The library says what a file holds and not where. So the file is read again statement by
    statement: lines are gathered until they are TOML by themselves.
    """
    lines: dict[Key, int] = {}
    for start, _, keys in _statements(text):
        for key in keys:
            lines.setdefault(key, start)
    return lines


# How the last line of a statement of several lines ends; else a list of a thousand lines would be
# read a thousand times.
_MAY_END = re.compile(r"""(?:[\]}]|\"{3}|'{3})\s*(?:#|$)""")


def _statements(text: str) -> Iterator[tuple[int, int, list[Key]]]:
    """First line, last line and keys of each statement of sound TOML."""
    table: Key = ()
    statement, start = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        goes_on = bool(statement)
        start = start if goes_on else number
        statement += f"{line}\n"
        if goes_on and not _MAY_END.search(line):
            continue
        try:
            value = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue  # a list or a text that goes on
        keys = [*_keys(value)]
        if statement.lstrip().startswith("["):
            table = max(keys, key=len)
        else:
            keys = [(*table, *key) for key in keys]
        yield start, number, keys
        statement = ""


def _keys(value: Any, above: Key = ()) -> Iterator[Key]:
    if isinstance(value, list):  # [[a list of tables]]
        value = value[-1] if value else None
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*above, name)
            yield from _keys(inner, (*above, name))


def _line_of(lines: Mapping[Key, int], key: Key) -> int:
    while key and key not in lines:  # inside something odd: the line of what holds it
        key = key[:-1]
    return lines.get(key, 1)


# -- what is no TOML ---------------------------------------------------------------------------


def _parsed(path: Path, data: bytes) -> tuple[str, dict[str, Any]]:
    """The text of the file and what it says. Raises ConfigError."""
    try:
        text = data.decode("utf-8-sig")  # some editors put a mark in front of it
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(path, [f"line {line}: not UTF-8"]) from error
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path, [_syntax_mistake(str(error), text)]) from error
    except RecursionError:
        raise ConfigError(path, [_too_deep(text)]) from None
    except ValueError as error:  # Python reads no number of more than 4,300 digits
        line = _line_with_most(r"[0-9_]", text)
        raise ConfigError(path, [f"line {line}: a number of too many digits"]) from error
    if _depth(value) > MOST_DEEP:
        raise ConfigError(path, [_too_deep(text)])
    return text, value


def _syntax_mistake(message: str, text: str) -> str:
    """The library's message in our form: its place first."""
    what, _, place = message.removesuffix(")").partition(" (at ")
    what = what if len(what) <= 2 * MOST_SHOWN else f"{what[: 2 * MOST_SHOWN - 1]}…"
    end = text.rstrip("\n").count("\n") + 1
    line = place.partition(",")[0] if place.startswith("line ") else f"line {end}"
    return f"{line}: not TOML: {what[:1].lower()}{what[1:]}"


def _too_deep(text: str) -> str:
    line = _line_with_most(r"[\[{.]", text)
    return f"line {line}: lists or tables lie within each other more than {MOST_DEEP} times"


def _line_with_most(characters: str, text: str) -> int:
    counts = [len(re.findall(characters, line)) for line in text.split("\n")]
    return counts.index(max(counts)) + 1


def _depth(value: Any) -> int:
    """How many tables and lists lie within each other; without recursion, and not to the end."""
    depth, level = 0, [value]
    while level and depth <= MOST_DEEP:
        depth += 1
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
    return depth
