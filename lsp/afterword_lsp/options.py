"""What an editor's settings say: a frozen value with defaults, from whatever JSON it sends.

Knows the names, their ranges and nothing else. A value that cannot be used is left at its default
and described, so that a wrong setting costs one message and never the server.
"""

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from afterword_daemon import protocol

# As in `afterword_trainer.model.suggestion`, which loads more than this process may hold.
EAGERNESS: Final = MappingProxyType({"chatty": 0.0, "balanced": 0.1, "quiet": 0.45})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """An editor's settings; None leaves a thing to the daemon's own configuration."""

    enable: Mapping[str, bool] = field(default_factory=lambda: {"*": True})  # by language
    trigger: Literal["auto", "manual"] = "auto"  # at every key, or when the user asks
    temperature: float | None = None
    max_characters: int | None = None
    multiline: bool | None = None
    alternatives: int | None = None
    eagerness: float | None = None  # how probable a suggestion must be, 0 to 1
    seed: int | None = None
    # None: for editors that draw no ghost text. The others would show everything twice.
    popup: bool | None = None
    # None: for editors that draw ghost text. Some of the others warn of what they do not know.
    status: bool | None = None

    def for_request(self) -> protocol.Options:
        """The part that the daemon has to know."""
        return protocol.Options(
            temperature=self.temperature,
            max_characters=self.max_characters,
            multiline=self.multiline,
            min_probability=self.eagerness,
            alternatives=self.alternatives,
            seed=self.seed,
        )

    def enables(self, *languages: str) -> bool:
        """Whether suggestions are wanted in a document whose language has these names."""
        for language in (*languages, "*"):
            if language in self.enable:
                return self.enable[language]
        return True


def parse(settings: object) -> tuple[Options, tuple[str, ...]]:
    """Options from JSON, and a phrase for each value that was not used.

    Names may be written max_characters or maxCharacters. Names that are unknown belong to the
    editor's plug-in, unless they look like one of ours.
    """
    if settings is None:
        return Options(), ()
    if not isinstance(settings, Mapping):
        return Options(), ("the settings are not an object",)
    good: dict[str, Any] = {}
    mistakes: list[str] = []
    for written, value in settings.items():
        name = re.sub(r"(?<=[a-z])[A-Z]", lambda m: f"_{m[0].lower()}", str(written))
        if name not in _CHECKS:
            if near := difflib.get_close_matches(name, _CHECKS, 1, cutoff=0.85):
                mistakes.append(f'"{name[:40]}" is unknown; did you mean "{near[0]}"?')
        elif value is not None:  # null: not set
            wanted, check = _CHECKS[name]
            try:
                good[name] = check(value)
            except (TypeError, ValueError, OverflowError):  # a number of 400 digits
                mistakes.append(f'"{name}" must be {wanted}')
    return Options(**good), tuple(mistakes)


def _languages(value: object) -> dict[str, bool]:
    if isinstance(value, bool):
        return {"*": value}
    if not isinstance(value, Mapping):
        raise TypeError
    return {str(language): _yes_or_no(wanted) for language, wanted in value.items()}


def _yes_or_no(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _trigger(value: object) -> str:
    if value not in ("auto", "manual"):
        raise ValueError
    return str(value)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError
    return float(value)


def _within(low: float, high: float) -> Callable[[object], float]:
    def check(value: object) -> float:
        number = _number(value)
        if not low <= number <= high:
            raise ValueError
        return number

    return check


def _whole(low: int, high: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        number = _within(low, high)(value)
        if number != int(number):
            raise ValueError
        return int(number)

    return check


def _eagerness(value: object) -> float:
    return (
        EAGERNESS[value] if isinstance(value, str) and value in EAGERNESS else _within(0, 1)(value)
    )


_CHECKS: Final[dict[str, tuple[str, Callable[[object], object]]]] = {
    "enable": ('true, false or an object such as {"*": true, "python": false}', _languages),
    "trigger": ('"auto" or "manual"', _trigger),
    "temperature": ("a number from 0 to 2", _within(0, 2)),
    "max_characters": ("a whole number from 2 to 1000", _whole(2, 1000)),
    "multiline": ("true or false", _yes_or_no),
    "alternatives": ("a whole number from 1 to 10", _whole(1, 10)),
    "eagerness": ('"quiet", "balanced", "chatty" or a number from 0 to 1', _eagerness),
    "seed": ("a whole number from 0", _whole(0, 2**53)),
    "popup": ("true or false", _yes_or_no),
    "status": ("true or false", _yes_or_no),
}
