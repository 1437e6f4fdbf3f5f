"""What a base model is made of: a TOML file that lists parts, their weights and their licences.

Knows what may be written in the file, and says everything that is wrong with it at once; knows
nothing of what lies in the places that it names.
"""

import difflib
import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afterword_trainer.model import bundle as bundles
from afterword_trainer.pretraining import PretrainingError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST_BYTES = 1 << 20  # of a manifest; a longer one is something else
MOST_SHOWN = 40  # characters of a value that is not as it should be


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Documents of one kind, from one place; exactly one of the five places is named."""

    name: str
    archive: str | None = None  # a .txt.xz: each document behind a line of U+001E and its path
    folder: str | None = None  # read as `trainer learn` reads a folder
    packages: Sequence[str] = ()  # installed Python distributions: their sources
    npm: Sequence[str] = ()  # npm packages: folders in `node_modules`
    stdlib: bool = False  # the sources of Python's standard library
    weight: float = 1.0  # how many times each text is read; below 1, the share that is
    licence: str  # of the texts; "metadata" where each package states its own
    source: str  # where they come from, in words
    include: Sequence[str] = ()  # patterns of paths ("*" matches "/" too); none means all
    exclude: Sequence[str] = ()  # patterns of paths
    # Patterns of the paths whose licences let their text be handed on beside the model.
    test: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A base model to be made."""

    name: str  # of the model: lower-case letters, digits and hyphens
    parts: Sequence[Part]
    never: Sequence[str]  # files whose text must not be learned: the tests of the model
    digest: str  # of the file


def load(path: Path) -> Manifest:
    """The manifest at `path`. Raises PretrainingError, which names every mistake in the file."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PretrainingError(f"{path}: {reason}; name a manifest that can be read") from error
    if len(data) > MOST_BYTES:
        raise PretrainingError(
            f"{path}: over {MOST_BYTES:,} bytes; a manifest is a short TOML file"
        )
    try:
        value = tomllib.loads(data.decode())
    except ValueError as error:  # UnicodeDecodeError and TOMLDecodeError are ValueErrors
        raise PretrainingError(f"{path}: not TOML ({error}); correct it") from error
    except RecursionError as error:
        raise PretrainingError(f"{path}: not TOML (nested too deep); correct it") from error
    mistakes = _Mistakes()
    manifest = _manifest(value, hashlib.sha256(data).hexdigest(), mistakes)
    if mistakes.found:
        raise PretrainingError(f"{path}: {', '.join(mistakes.found)}; correct the manifest")
    return manifest


# -- what a key may hold -----------------------------------------------------------------------

Check = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bundles.ID.fullmatch(value) is not None


def _is_weight(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 100


_TEXT: tuple[Check, str] = (_is_text, "a text")
_TEXTS: tuple[Check, str] = (_is_texts, "a list of texts")
_SHORT: tuple[Check, str] = (_is_name, "a short name: a-z and 0-9, then hyphens too")
_PLACES = ("archive", "folder", "packages", "npm", "stdlib")
_PART: Mapping[str, tuple[Check, str]] = {
    "name": _SHORT,
    "archive": _TEXT,
    "folder": _TEXT,
    "packages": _TEXTS,
    "npm": _TEXTS,
    "stdlib": (lambda value: value is True, "true"),
    "weight": (_is_weight, "a number above 0 and up to 100"),
    "licence": _TEXT,
    "source": _TEXT,
    "include": _TEXTS,
    "exclude": _TEXTS,
    "test": _TEXTS,
}
_TOP: Mapping[str, tuple[Check, str]] = {
    "name": _SHORT,
    "parts": (
        lambda value: (
            isinstance(value, list) and bool(value) and all(isinstance(p, dict) for p in value)
        ),
        "a list of tables, [[parts]]",
    ),
    "tests": (lambda value: isinstance(value, dict), "a table, [tests]"),
}
_TESTS: Mapping[str, tuple[Check, str]] = {"never": _TEXTS}


class _Mistakes:
    """What is wrong with a manifest, in the order of the file."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def checked(
        self, where: str, table: Mapping[str, Any], known: Mapping[str, tuple[Check, str]]
    ) -> dict[str, Any]:
        """The keys of `table` that are as they should be; the others are mistakes."""
        sound = {}
        for key, value in table.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                self.found.append(f"{where} has no key {key!r}{hint}")
            elif not known[key][0](value):
                given = repr(value)[:MOST_SHOWN]
                self.found.append(f"{where}: {key!r} must be {known[key][1]}, not {given}")
            else:
                sound[key] = value
        return sound

    def missing(self, where: str, table: Mapping[str, Any], keys: Sequence[str]) -> None:
        """Note which of `keys` are not in `table`."""
        self.found += [f"{where} lacks {key!r}" for key in keys if key not in table]


def _manifest(value: Mapping[str, Any], digest: str, mistakes: _Mistakes) -> Manifest:
    top = mistakes.checked("the manifest", value, _TOP)
    mistakes.missing("the manifest", value, ("name", "parts"))
    parts = []
    for number, table in enumerate(top.get("parts", ()), 1):
        where = f"part {number}"
        part = mistakes.checked(where, table, _PART)
        mistakes.missing(where, table, ("name", "licence", "source"))
        if len([place for place in _PLACES if place in table]) != 1:
            mistakes.found.append(f"{where} names one place of {', '.join(_PLACES)}")
        parts.append(Part(**{"name": "", "licence": "", "source": ""} | part))
    names = [part.name for part in parts if part.name]
    mistakes.found += [
        f"two parts are called {n!r}" for n in sorted({*names}) if names.count(n) > 1
    ]
    tests = mistakes.checked("[tests]", top.get("tests", {}), _TESTS)
    return Manifest(
        name=top.get("name", ""),
        parts=parts,
        never=tests.get("never", ()),
        digest=digest,
    )
