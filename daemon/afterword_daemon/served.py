"""A model in use: its memory, its states, and what it expects at a cursor.

Rollouts that the user types along with are followed; while the user pauses, those for the likeliest
next keys are prepared, and what was typed is taught. All of that, but for the teaching, is for
speed alone. Knows networks, memories and symbols; knows neither settings nor what fits a document.
"""

from collections import OrderedDict
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.bundle import Bundle
from afterword_trainer.model.memory import Memory, overwritten
from afterword_trainer.model.mixing import Mix, Mixer
from afterword_trainer.model.predictor import Symbols, prime
from afterword_trainer.model.step import (
    NetworkPredictor,
    Step,
    needs_weights,
    open_predictor,
    open_step,
)
from afterword_trainer.model.suggestion import Continuation, Policy, Rollout, readable
from afterword_trainer.remembering import Remembered
from numpy.typing import NDArray

from afterword_daemon.drawing import Drawn, draw_together
from afterword_daemon.library import Library
from afterword_daemon.recollection import Found, Recollection, typed, whole_words, word_ends
from afterword_daemon.states import AT_MOST_BYTES, States, Trail, common

TextT = TypeVar("TextT", str, Symbols)

MEMORY_BYTES = 20 << 20  # 600 KB of text; so that the whole daemon stays below 120 MB


@dataclass(slots=True)
class Document:
    """What must be known of a document to understand its next request."""

    symbols: Symbols = field(default_factory=lambda: np.zeros(0, np.uint16))  # up to the cursor
    n_typed: int = 0  # at its end, that are not learned yet
    is_passed_over: bool = False  # what has come since is not to be learned
    offered: list[Symbols] = field(default_factory=list)
    items: "list[Shown]" = field(default_factory=list)
    kept: tuple[int, ...] = ()  # of what is on the screen and was drawn: symbols not typed yet
    secrets: frozenset[int] = frozenset()  # hashes of those around the cursor

    def see(self, symbols: Symbols) -> None:
        """Take note of the text, and of what at its end was typed and is still to be learned."""
        change = typed(self.symbols, symbols, self.offered)
        self.symbols = symbols
        n_kept = change[1] if change and not change[0] else 0
        is_typed_along = bool(n_kept) and tuple(symbols[-n_kept:].tolist()) == self.kept[:n_kept]
        self.kept = self.kept[n_kept:] if is_typed_along or change == (0, 0) else ()
        if change is None or self.is_passed_over:
            self.n_typed, self.is_passed_over = 0, False
            return
        n_taken_back, n_new = change
        self.n_typed = max(self.n_typed - n_taken_back, 0) + n_new

    def pass_over(self) -> None:
        """Learn nothing of what was typed so far, up to the next request."""
        self.n_typed = 0
        self.is_passed_over = True

    def take_words(self, ends_word: NDArray[np.bool_]) -> tuple[int, int]:
        """(begin, end) of the whole words that are to be learned now; they are so only once."""
        begin = len(self.symbols) - self.n_typed
        n_words = whole_words(self.symbols[begin:], ends_word)
        self.n_typed -= n_words
        return begin, begin + n_words


@dataclass(frozen=True, slots=True)
class Shown:
    """An item of an answer."""

    id: str
    text: str
    end: int  # symbols up to its end


@dataclass(frozen=True, slots=True)
class Drawing:
    """How continuations are drawn."""

    temperature: float
    seed: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a continuation is wanted."""

    document: str
    symbols: Symbols  # up to the cursor
    trail: Trail
    drawing: Drawing
    kept: tuple[int, ...] = ()  # symbols that a drawn continuation begins with in any case

    @property
    def place(self) -> Mix:
        """The predictor at the cursor; to be forked."""
        return self.trail.at(len(self.symbols))

    def rollout(self, *typed_next: int) -> Rollout:
        """A new one, behind symbols that may be typed next."""
        place = self.place
        if typed_next:
            place = place.fork()
            prime(place, np.array(typed_next, np.uint16))
        if not self.drawing.temperature:
            return Rollout(place)
        return Drawn(
            place,
            position=len(self.symbols) + len(typed_next),
            seed=self.drawing.seed,
            temperature=self.drawing.temperature,
            kept=() if typed_next else self.kept,
        )


@dataclass(slots=True)
class _Prepared:
    """The rollout at a cursor, and those behind keys that may come next; for one epoch."""

    epoch: int
    drawing: Drawing
    symbols: Symbols
    rollout: Rollout
    ahead: dict[int, Rollout] = field(default_factory=dict)

    def follow(self, symbols: Symbols) -> Rollout | None:
        """The rollout at the end of `symbols`, if it is known.

        It is moved there, so whatever this has prepared is of no more use.
        """
        n = len(self.symbols)
        if common(self.symbols, symbols) < n:
            return None
        rollout = self.rollout
        for i, symbol in enumerate(symbols[n:].tolist()):
            if rollout.follow(symbol):
                continue
            if i or symbol not in self.ahead:
                return None
            rollout = self.ahead[symbol]
        return rollout


class Served:
    """A network, its memory, and what is known for the moment."""

    def __init__(self, bundle: Bundle, remembered: Remembered | None, caching: bool) -> None:
        """`remembered` goes on learning; None: a memory that is empty."""
        self.id = bundle.id
        self.alphabet = bundle.alphabet
        self.remembered = remembered or empty(bundle.alphabet)
        self.memory, self.mixer = self.remembered.memory, self.remembered.mixer
        self.recollection = Recollection(self.memory, self.alphabet)
        self.library = Library(self.remembered, self.alphabet)
        self.documents: OrderedDict[str, Document] = OrderedDict()  # asked for last at the end
        self.prepared: OrderedDict[str, _Prepared] = OrderedDict()  # by document
        self.epoch = 0  # of memory and mixer: rollouts of an earlier one are worth nothing
        self.teaching: Iterator[None] = iter(())  # of what was typed
        self.ahead: Iterator[None] = iter(())
        self._taught: str = ""  # the document that `teaching` is of
        self._network = open_predictor(bundle)
        # Nothing else of the bundle is kept: its weights are 15 MB.
        self._weights: Mapping[str, NDArray[np.float32]] = (
            bundle.weights if needs_weights(bundle.graphs) else {}
        )
        self._graphs, self._spec = bundle.graphs, bundle.spec
        # Of each symbol a logit and a probability, 4 bytes both; and 1 KB of objects around them.
        self.place_bytes = self._network.state.nbytes + 8 * bundle.spec.n_symbols + 1024
        self.states = States(
            Mix(self._network, self.memory, self.mixer, learning=False),
            self.place_bytes,
            at_most_bytes=AT_MOST_BYTES if caching else 0,
        )
        self.ends_word = word_ends(self.alphabet)
        self._caching = caching
        self._steps: dict[int, Step] = {}  # by the number of streams

    def symbols(self, path: str, language: str, before: str) -> Symbols:
        """What is primed: the header, and the text before the cursor, or the end of it."""
        # A character is one symbol or more.
        text = _end(overwritten(self.alphabet.encode(_end(before))))
        # Before the middle of a text too: it never did harm from 128 symbols on, and saved 0.01
        # bits a symbol at 128 and 0.004 at 256.
        header = self.alphabet.header(path, language)
        return overwritten(np.concatenate([header, text]))

    def document(self, name: str) -> Document:
        """What is known of a document."""
        document = self.documents[name] = self.documents.pop(name, Document())
        if len(self.documents) > _MOST_DOCUMENTS:
            self.documents.popitem(last=False)
        return document

    def rollout(self, cursor: Cursor) -> Rollout:
        """What goes on at the cursor: the one before if it came true so far, or a new one."""
        prepared = self.prepared.pop(cursor.document, None)
        rollout = None
        if prepared and prepared.epoch == self.epoch and prepared.drawing == cursor.drawing:
            rollout = prepared.follow(cursor.symbols)
        return self._prepare(cursor, rollout or cursor.rollout()).rollout

    def alternatives(self, cursor: Cursor, n: int) -> list[Rollout]:
        """The continuation that `rollout` has, and others, more than the `n` that are wanted."""
        if n == 1:
            return [cursor.rollout()]
        n_streams = 1 + _DRAWS_PER_ALTERNATIVE * (n - 1)
        step = self._steps.get(n_streams)
        if step is None:
            step = open_step(self._spec, self._weights, self._graphs, n_streams=n_streams)
            self._steps = {n_streams: step}  # one is enough: the number is a setting
        place = cursor.place
        network = place.network
        assert isinstance(network, NetworkPredictor)
        likeliest, *drawn = draw_together(
            place,
            network,
            step,
            position=len(cursor.symbols),
            seed=cursor.drawing.seed,
            temperature=cursor.drawing.temperature or _TEMPERATURE_OF_ALTERNATIVES,
            kept=cursor.kept,
        )
        # The first of those drawn is the one that is drawn alone.
        return [*drawn, likeliest] if cursor.drawing.temperature else [likeliest, *drawn]

    def look_ahead(self, cursor: Cursor, policy: Policy) -> Iterator[None]:
        """Have ready what follows the likeliest next keys."""
        prepared = self.prepared.get(cursor.document)
        if not prepared:
            return
        if prepared.epoch != self.epoch:
            # What was just typed is learned by now, and the last rollout knows nothing of it.
            prepared = self._prepare(cursor, cursor.rollout())
            yield from read(prepared.rollout, self, policy)
        distribution = cursor.place.fork().distribution()
        for symbol in np.argsort(-distribution)[:_MOST_AHEAD].tolist():
            if distribution[symbol] < _LIKELY_KEY:
                return
            if symbol == prepared.rollout.symbols[0]:
                continue  # this one can be followed
            rollout = cursor.rollout(symbol)
            yield from read(rollout, self, policy)
            prepared.ahead[symbol] = rollout

    def teach(self, name: str, symbols: Symbols, begin: int) -> None:
        """Have `symbols` from `begin` on, which were typed, learned before the next answer."""
        self.epoch += 1
        self._taught = name
        self.teaching = self._teach(name, symbols, begin)

    def take_back(self, name: str, found: Sequence[Found]) -> None:
        """Forget at once what was typed of a secret before it was known to be one."""
        document = self.documents.get(name)
        if document is None:
            return
        before = document.secrets
        document.secrets = frozenset(hash(one.secret) for one in found if not one.is_ahead)
        for one in found:
            if not one.is_ahead and hash(one.secret) not in before:
                self.recollection.take_back(name, one.secret)
                document.kept = ()
                self.epoch += 1

    def drop(self) -> None:
        """Learn nothing of all that waits to be learned."""
        self.teaching = iter(())
        self.recollection.drop()
        for document in self.documents.values():
            document.pass_over()

    def rest(self) -> None:
        """Do nothing more of what can wait, which holds on to all of this."""
        self.teaching = self.ahead = iter(())

    def forget(self, name: str) -> None:
        """A document was closed."""
        self.documents.pop(name, None)
        self.prepared.pop(name, None)
        if self._taught == name:
            self.teaching = iter(())
        self.ahead = iter(())  # perhaps of this document, and it has its text
        self.states.forget(name)
        self.recollection.close(name)

    def _teach(self, name: str, symbols: Symbols, begin: int) -> Iterator[None]:
        trail = yield from self.states.prime(symbols[:begin], name)
        learner = trail.at(begin).learner(self.recollection.key(name))
        for symbol in symbols[begin:].tolist():
            learner.observe(symbol)
            if symbol == _LINE_END:
                self.recollection.end_line(name)
                learner = learner.learner(self.recollection.key(name))
            yield

    @property
    def network_bytes(self) -> int:
        """What the network takes."""
        return sum(map(len, self._graphs.values())) + sum(
            array.nbytes for array in self._weights.values()
        )

    def _prepare(self, cursor: Cursor, rollout: Rollout) -> _Prepared:
        prepared = _Prepared(self.epoch, cursor.drawing, cursor.symbols, rollout)
        if self._caching:
            self.prepared[cursor.document] = prepared
            if len(self.prepared) > _MOST_PREPARED:
                self.prepared.popitem(last=False)
        return prepared


def empty(alphabet: Alphabet, mixer: Mixer | None = None) -> Remembered:
    """A memory that has learned nothing, and how far it is believed at first."""
    memory = Memory(alphabet, at_most_bytes=MEMORY_BYTES)
    return Remembered(memory=memory, mixer=mixer or Mixer.default())


def _end(text: TextT) -> TextT:
    """The end of a long text, in symbols or characters.

    Cut in strides, or each key would begin elsewhere and share nothing with the last.
    """
    return text[max(0, -(-(len(text) - _MOST_PRIMED) // _STRIDE) * _STRIDE) :]


def read(rollout: Rollout, model: Served, policy: Policy) -> Generator[None, None, Continuation]:
    """What a rollout reads, grown a few steps at a time."""
    n_characters = len(rollout.symbols)
    while True:
        n_characters = min(n_characters + _CHARACTERS_AT_A_TIME, policy.max_characters)
        part = replace(policy, max_characters=n_characters)
        expected = readable(rollout, model.alphabet, part)
        if len(expected.text) < n_characters or n_characters == policy.max_characters:
            return expected
        yield


_LINE_END = ord("\n")
_CHARACTERS_AT_A_TIME = 4  # of a rollout, until somebody may say that nobody wants it
# Symbols that are primed of a text that is longer than whoever asks should send; at least 256, for
# beyond these bits per character fall by 0.002 and beyond 512 not at all.
_MOST_PRIMED = 2304
_STRIDE = 2048  # by which the beginning moves on, seldom: it is 40 ms of work
_DRAWS_PER_ALTERNATIVE = 3  # some are alike, some are worse than the others
_TEMPERATURE_OF_ALTERNATIVES = 0.7  # where the user's own is 0 and would draw the same each time
_MOST_AHEAD = 4  # keys that a look ahead prepares for, 3 ms each
_LIKELY_KEY = 0.04  # probability
_MOST_PREPARED = 16  # documents
_MOST_DOCUMENTS = 256  # of which something is known
