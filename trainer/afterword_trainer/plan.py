"""What was asked for and what will be done: a request of which nothing is left to be refused.

Knows the shelf, the base model and the promise of minutes; reads no text and trains nothing.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from afterword_trainer import base, finding
from afterword_trainer.model.alphabet import MAX_CHARACTERS, MOST_NEW, Alphabet
from afterword_trainer.model.bundle import Bundle, require_fits
from afterword_trainer.model.spec import Cell, NetworkSpec
from afterword_trainer.paths import Paths
from afterword_trainer.shelf import Shelf


class LearnError(Exception):
    """The request cannot be carried out; one sentence with its remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What `trainer learn`, `update` or `forget` asks for."""

    roots: Sequence[Path]
    rules: finding.Rules
    # How it is called in the ledger: all of the text by the user's order, what is new of it, or
    # all of it once more without what was forgotten.
    work: Literal["learned", "updated", "rebuilt"] = "learned"
    minutes: float | None = None
    epochs: float | None = None
    symbols: int | None = None  # to train on; for updates, instead of both
    origin: Literal["base", "current", "scratch"] = "base"
    # None: as the model that training starts from has it; from scratch, LSTM, `layers_for`, 512.
    cell: Cell | None = None
    layers: int | None = None
    units: int | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: measured
    threads: int | None = None  # None: one for each core; 1: the same weights every time
    dropout: float | None = None
    seed: int = 0
    activate: bool = True
    command: str = ""  # as it was typed, for the report


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A request of which nothing is left that could be refused."""

    request: Request
    paths: Paths
    shelf: Shelf
    before: Bundle | None  # the model in use
    parent: Bundle | None  # the model that training starts from
    why_scratch: str | None  # why there is none, where one was asked for
    clock: "Clock"


class Clock:
    """The promise: when it began, and how much of it is for what."""

    def __init__(self, started: float, minutes: float | None, *, is_fine_tuning: bool) -> None:
        self._end = None if minutes is None else started + 60 * minutes
        self._closing_s = 0.0
        if minutes is not None:
            # Export takes five seconds; the scores are steadier the longer they may take, to a
            # point; and what was fine-tuned is compared with its start a few times, and in the
            # end with the model in use. On a busy machine that may end late: what makes it sure
            # is measured all the same, in 6 seconds or 18 (`gate.Sizes.within`).
            self._closing_s = min(26.0, 6.5 + 0.08 * 60 * minutes)
            self._closing_s += is_fine_tuning * min(16.0, 0.1 * 60 * minutes)

    def deadline(self) -> float | None:
        """When training has to end, so that the rest is done in time."""
        return None if self._end is None else self._end - self._closing_s

    def left_s(self) -> float | None:
        """Until everything has to end; None if nothing was promised."""
        return None if self._end is None else self._end - time.monotonic()


def make(request: Request, paths: Paths, started: float) -> Plan:
    """What will be done, all of it possible. Raises LearnError, BundleError, StateError."""
    shelf = Shelf(paths.models, paths.base)
    before, _ = shelf.current()
    parent, why_scratch = _parent(request, paths, before)
    most = parent.alphabet.size + MOST_NEW if parent else Alphabet().size + MAX_CHARACTERS
    require_fits(spec(request, parent, most))
    return Plan(
        request=request,
        paths=paths,
        shelf=shelf,
        before=before,
        parent=parent,
        why_scratch=why_scratch,
        clock=Clock(started, request.minutes, is_fine_tuning=parent is not None),
    )


def _parent(
    request: Request, paths: Paths, current: Bundle | None
) -> tuple[Bundle | None, str | None]:
    """The model that training starts from, and why it is none where one was asked for.

    Raises LearnError if there is no current model of that shape, BundleError if there is no base.
    """
    shape = (request.cell, request.layers, request.units)
    if request.origin == "scratch":
        return None, None
    if request.origin == "base":
        if any(shape) and not base.exists(paths.base):
            return None, "there is no base model, so this starts from scratch"
        parent = base.load(paths.base)
    elif current is None:
        raise LearnError("there is no current model to start from; leave out `--from current`")
    else:
        parent = current
    shape_of = parent.spec
    has = (shape_of.cell, shape_of.layers, shape_of.units)
    if all(asked in (None, given) for asked, given in zip(shape, has, strict=True)):
        return parent, None
    if request.origin == "base":
        problem = f"the base model is {shape_of} and another shape was asked for"
        return None, f"{problem}, so this starts from scratch"
    raise LearnError(
        f"the current model {parent.id} is {shape_of} and another shape was asked for; "
        "start from scratch, or leave the shape as it is"
    )


def spec(request: Request, parent: Bundle | None, n_symbols: int) -> NetworkSpec:
    """Raises LearnError for a network that cannot be."""
    if parent:
        # This run chooses a dropout of its own.
        return replace(parent.spec, n_symbols=n_symbols, dropout=0.0)
    layers = layers_for(request.minutes) if request.layers is None else request.layers
    units = 512 if request.units is None else request.units
    try:
        return NetworkSpec(
            n_symbols=n_symbols,
            cell=request.cell or "lstm",
            layers=layers,
            units=units,
            # A quarter of the units carries all that one symbol can mean; more only costs time.
            embedding=max(16, min(128, units // 4)),
        )
    except ValueError as error:
        raise LearnError(
            f"there is no such network: {error}; choose other --layers or --units"
        ) from error


def layers_for(minutes: float | None) -> int:
    """From scratch, one layer learns twice as fast, two learn more in the end.

    On tinyshakespeare, 512 units each: after one minute 2.12 bits per character with one layer
    against 2.45 with two; after two and a half 1.99, where a wider layer (768) had 2.00.
    """
    return 1 if minutes is not None and minutes < 6 else 2
