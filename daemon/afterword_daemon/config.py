"""What the user set: one TOML file, all of it optional, checked whole.

Knows each setting, its default with the reason, and what may be written for it; says everything
that is wrong with the file at once. Knows nothing of who acts on it.

    ConfigError     the file cannot be used: each mistake with its line
"""

import difflib
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
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

Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """When the daemon learns in the background."""

    enable: bool = True  # of the folders in `watch`; without any there is nothing to learn
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


class ConfigError(Exception):
    """The file cannot be used as it is; one sentence with its remedy."""

    def __init__(self, path: Path, mistakes: Sequence[str], settings: Settings) -> None:
        super().__init__(f"{path}: {', '.join(mistakes)}; correct it, then: afterword config check")
        self.path = path
        self.mistakes = tuple(mistakes)  # each one line, as "line 3: ..."
        self.settings = settings  # what can be understood, for whoever has to go on


def path_of(paths: Paths) -> Path:
    """Where the file is, if there is one."""
    return paths.config / "config.toml"


def load(paths: Paths) -> Settings:
    """What is set; without a file, the defaults. Raises ConfigError."""
    path = path_of(paths)
    try:
        data = durable.read(path, at_most=MOST_BYTES)
    except durable.StateError as error:
        if not path.exists():
            return Settings()
        what, _, remedy = str(error).removeprefix(f"{path}: ").partition("; ")
        raise ConfigError(path, [f"{what} ({remedy})"], Settings()) from error
    try:
        text = data.decode()
        value = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(path, [f"line {line}: not UTF-8"], Settings()) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path, [_syntax_mistake(str(error), text)], Settings()) from error
    mistakes: list[_Mistake] = []
    top = _checked((), value, _TOP, mistakes)
    learning = _checked(("learning",), top.pop("learning", {}), _LEARNING, mistakes)
    enable = top.pop("enable", {})
    enable = _checked(("enable",), enable, dict.fromkeys(enable, _YES_OR_NO), mistakes)
    if "watch" in top:
        top["watch"] = tuple(Path(folder).expanduser() for folder in top["watch"])
    if "ignore" in top:
        top["ignore"] = tuple(top["ignore"])
    settings = Settings(**top, enable={"*": True} | enable, learning=Learning(**learning))
    if mistakes:
        lines = _lines(text)
        found = sorted((_line_of(lines, mistake.key), mistake) for mistake in mistakes)
        sentences = [f"line {line}: {mistake.sentence}" for line, mistake in found]
        raise ConfigError(path, sentences, settings)
    return settings


def stamp(paths: Paths) -> Stamp | None:
    """Changes whenever the file does: what to compare before loading it again; None: no file."""
    try:
        status = path_of(paths).stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def write_template(paths: Paths) -> Path:
    """Write the commented file where there is none; its path. Raises StateError."""
    path = path_of(paths)
    durable.write_new(path, TEMPLATE.encode())
    return path


def put(paths: Paths, key: str, value: str) -> None:
    """Set a key of the top level to `value`, in TOML, and leave every other line as it is.

    Raises ConfigError if the file cannot be read as it is now; StateError.
    """
    path = path_of(paths)
    text = ""
    if path.exists():
        load(paths)
        text = durable.read(path, at_most=MOST_BYTES).decode()
    lines = text.split("\n")
    line = f"{key} = {value}"
    for start, end, keys in _statements(text):
        if (key,) in keys:
            lines[start - 1 : end] = [line]
            break
    else:
        lines.insert(0, line)  # above all tables, where it belongs to none of them
    # The real file: dotfiles are often links into a folder that is kept elsewhere.
    durable.replace(path.resolve(), "\n".join(lines).encode())


def flat(settings: Settings) -> Iterator[tuple[str, str]]:
    """Every setting as it would be written: its name and its value."""
    for name, value in asdict(settings).items():
        for inner, one in value.items() if isinstance(value, dict) else [("", value)]:
            key = f"{name}.{json.dumps(inner) if inner == '*' else inner}" if inner else name
            yield key, json.dumps(one, default=str, ensure_ascii=False)


TEMPLATE = """\
# Settings of Afterword. Every line is optional and stands here with its default.
# Saving this file is enough: they hold a second later.
# `afterword config check` says what is wrong with it, line by line.

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

# To come, and of no effect yet: folders to learn from in the background, and what to leave out
# there (patterns as in .gitignore). Binary files, keys and passwords are always left out.
#watch = ["~/notes"]
#ignore = ["drafts/", "*.bak"]

# Suggestions by language, as editors call them; "*" stands for all others.
#[enable]
#"*" = true
#python = false

# Whether to learn what you type and save. To come, and of no effect yet: seconds to wait after a
# file was saved, per cent of one core, and whether to go on without a charger.
#[learning]
#enable = true
#quiet_s = 2.0
#max_cpu_percent = 25
#on_battery = false
"""


# -- what may be written -----------------------------------------------------------------------

Check = tuple[Callable[[Any], bool], str]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


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


def _are_folders(value: Any) -> bool:
    return _is_texts(value) and all(folder.startswith(("/", "~")) for folder in value)


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
    "idle_minutes": _number(0, 100_000),
    "stats": _YES_OR_NO,
    "learning": _TABLE,
    "watch": (_are_folders, 'is a list of folders, each from "/" or "~" on'),
    "ignore": (_is_texts, "is a list of patterns"),
}

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class _Mistake:
    key: Key
    what: str

    @property
    def sentence(self) -> str:
        return f"{'.'.join(self.key)} {self.what}"


def _checked(
    where: Key, table: Mapping[str, Any], known: Mapping[str, Check], mistakes: list[_Mistake]
) -> dict[str, Any]:
    """The keys of `table` that are as they should be; the others are mistakes."""
    sound = {}
    for name, value in table.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f": did you mean {near[0]}?" if near else ""
            mistakes.append(_Mistake((*where, name), f"is no setting{hint}"))
        elif not known[name][0](value):
            written = json.dumps(value, default=str, ensure_ascii=False)
            written = written if len(written) <= 40 else f"{written[:39]}…"
            mistakes.append(_Mistake((*where, name), f"{known[name][1]}, not {written}"))
        else:
            sound[name] = value
    return sound


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


def _syntax_mistake(message: str, text: str) -> str:
    """The library's message in our form: its place first."""
    what, _, place = message.removesuffix(")").partition(" (at ")
    end = text.rstrip("\n").count("\n") + 1
    line = place.partition(",")[0] if place.startswith("line ") else f"line {end}"
    return f"{line}: not TOML: {what[:1].lower()}{what[1:]}"
