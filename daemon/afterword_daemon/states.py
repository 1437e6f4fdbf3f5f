"""Where texts lead: what a predictor makes of each beginning, kept so that a key costs one step.

For a text there is a trail: forks of the predictor after each of the latest symbols and after
every 32nd before them. Another text goes on from the longest beginning that it shares with a
trail, whatever document either is of; so edits in the middle, deletions, undo and several places
in one document are all one case. Knows symbols; knows neither documents nor what is predicted.
"""

from collections.abc import Generator
from typing import Protocol

from afterword_trainer.model.mixing import Mix
from afterword_trainer.model.predictor import Symbols

AT_MOST_BYTES = 8 << 20  # some ten places of 2,000 characters each in a network of 2 × 512


class Trail(Protocol):
    """A text that was primed."""

    def at(self, n: int) -> Mix:
        """The predictor after its first `n` symbols, 0 to all: fork it, never ask or move it."""


class States:
    """A bounded pool of trails, the one used last first."""

    def __init__(
        self, origin: Mix, place_bytes: int, *, at_most_bytes: int = AT_MOST_BYTES
    ) -> None:
        """`origin` has observed nothing; each place takes `place_bytes`.

        `at_most_bytes` 0 keeps nothing; where not even one text fits, its latest places are kept.
        """
        self._origin = origin
        self._place_bytes = place_bytes
        self._at_most_bytes = at_most_bytes
        self._trails: list[_Trail] = []

    def prime(self, symbols: Symbols, document: str = "") -> Generator[None, None, Trail]:
        """The trail of (n,) symbols, a text of `document`; each iteration is a step.

        Others may prime between two of them.
        """
        trail = self._trail_for(symbols)
        trail.documents.add(document)
        trail.is_walked = True
        try:
            yield from trail.walk(len(symbols))
        finally:
            trail.is_walked = False
        trail.thin(len(symbols))
        self._bound(len(symbols))
        return trail

    def forget(self, document: str) -> None:
        """Drop the texts of a document, also where another one's are the same."""
        self._trails = [trail for trail in self._trails if document not in trail.documents]

    @property
    def n_bytes(self) -> int:
        """What the places take; never more than allowed once a text is primed."""
        return sum(trail.n_places for trail in self._trails) * self._place_bytes

    def _trail_for(self, symbols: Symbols) -> "_Trail":
        """A trail that `symbols` are a beginning of, with what is known of them already."""
        best, n_shared = None, 0
        for trail in self._trails:
            n = common(trail.symbols, symbols)
            if best is None or n > n_shared:
                best, n_shared = trail, n
            if len(symbols) - n <= min(n, _RECENT):
                break  # as good as it gets: this is where we were
        if best is None or not n_shared:
            best = _Trail(symbols, {0: self._origin})
        elif best.is_walked:
            best = best.branch(symbols, n_shared)
        elif n_shared == len(symbols):
            self._trails.remove(best)
        elif len(best.symbols) - n_shared <= _SHORT:
            self._trails.remove(best)
            best.lead(symbols, n_shared)
        else:
            # Much would be lost that an undo, or a jump back, would ask for again.
            best = best.branch(symbols, n_shared)
        if self._at_most_bytes:
            self._trails.insert(0, best)
        return best

    def _bound(self, n: int) -> None:
        while len(self._trails) > 1 and (
            len(self._trails) > _MOST_TRAILS or self.n_bytes > self._at_most_bytes
        ):
            del self._trails[-1]
        if self.n_bytes > self._at_most_bytes:  # the one in use, of a large network
            self._trails[0].keep_nearest(n, self._at_most_bytes // self._place_bytes)


class _Trail:
    """A text, and the predictor after some of its beginnings."""

    __slots__ = ("_places", "documents", "is_walked", "symbols")

    def __init__(self, symbols: Symbols, places: dict[int, Mix]) -> None:
        self.symbols = symbols
        self.documents: set[str] = set()  # whose text it is, or begins with
        self.is_walked = False  # just now, so that it must stay as it is
        self._places = places  # by how many symbols were observed; always one for 0

    @property
    def n_places(self) -> int:
        return len(self._places)

    def at(self, n: int) -> Mix:
        for _ in self.walk(n):
            pass
        return self._places[n]

    def walk(self, n: int) -> Generator[None, None, None]:
        """Make sure of the place after `n` symbols, from the nearest before it."""
        known = n
        while known not in self._places:
            known -= 1
        for i, symbol in enumerate(self.symbols[known:n].tolist(), known + 1):
            place = self._places[i - 1].fork()
            place.observe(symbol)
            self._places[i] = place
            left_behind = i - _RECENT
            if left_behind % _STRIDE:
                self._places.pop(left_behind, None)
            yield

    def thin(self, n: int) -> None:
        """Drop what many jumps left behind, except around the `n`-th symbol."""
        if len(self._places) > len(self.symbols) // _STRIDE + _SCATTERED:
            self._places = {
                i: place
                for i, place in self._places.items()
                if i % _STRIDE == 0 or n - _RECENT < i <= n
            }

    def keep_nearest(self, n: int, n_most: int) -> None:
        """Drop all but `n_most` places, or two: the nearest to the `n`-th symbol, and the first."""
        nearest = sorted(self._places, key=lambda i: abs(i - n))[: max(n_most - 1, 1)]
        self._places = {i: self._places[i] for i in {0, *nearest}}

    def lead(self, symbols: Symbols, n_shared: int) -> None:
        """Lead elsewhere from the first `n_shared` symbols on."""
        if n_shared < len(self.symbols):
            self._places = self._until(n_shared)
            self.documents = set()
        self.symbols = symbols

    def branch(self, symbols: Symbols, n_shared: int) -> "_Trail":
        """Another trail, that has the first `n_shared` symbols in common with this one."""
        return _Trail(symbols, self._until(n_shared))

    def _until(self, n: int) -> dict[int, Mix]:
        return {i: place for i, place in self._places.items() if i <= n}


def common(a: Symbols, b: Symbols) -> int:
    """How many symbols two texts share from their beginnings on."""
    n = min(len(a), len(b))
    differ = a[:n] != b[:n]
    return int(differ.argmax()) if differ.any() else n


# Places kept after every symbol: as far as a word is taken back letter by letter.
_RECENT = 32
_STRIDE = 32  # further back one in so many: a jump there costs half as many steps, 2 ms
_SCATTERED = 4 * _RECENT  # places beside those, in one trail
_SHORT = 64  # symbols of a trail that may be lost: it takes 10 ms to make them again
_MOST_TRAILS = 32  # each is compared when a text comes from somewhere else, a few µs each
