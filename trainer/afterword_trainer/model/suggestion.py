"""What to offer at the cursor: the likeliest text, cut where it saves most keys, or nothing.

Knows a predictor, an alphabet and a policy; knows nothing of documents, editors or the wire.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from afterword_trainer.model.alphabet import DOCUMENT, TEXT, Alphabet, Decoder
from afterword_trainer.model.predictor import Predictor

# Named values of `Policy.min_probability`. With the mix, on 100,000 characters each of notes, a
# novel and verse: 0 saved 41, 38 and 29 of 100 keys with 29, 29 and 24 % of the distinct
# suggestions right; 0.1 saved 40, 38 and 28 with 34, 33 and 31 %; 0.4 saved 35, 32 and 22 with 58,
# 59 and 60 %; 0.45 saved 34, 30 and 21 with 61, 63 and 64 %. A gate on what a suggestion is
# expected to save was worse: with the network alone, 18 keys where 60 % were right, and 23 with
# this one.
EAGERNESS = {"chatty": 0.0, "balanced": 0.1, "quiet": 0.45}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long and how sure suggestions are. Raises ValueError for a setting out of range."""

    max_characters: int = 80  # about a line; a model is hardly ever sure of more
    multiline: bool = False  # text that pushes lines down distracts; saves 0.1 to 1 key in 100
    min_probability: float = EAGERNESS["balanced"]  # 0 shows all that may save a key
    min_blanks: int = 3  # blanks alone are invisible: offered from a small indentation on
    # Of getting there: below it nothing further is looked at. At twice as much a tenth of a key in
    # 100 was lost; a key costs four steps of rolling out as it is.
    negligible: float = 0.01

    def __post_init__(self) -> None:
        if self.max_characters < 2:
            raise ValueError(f"max-characters {self.max_characters} is below 2: nothing to save")
        if not 0 <= self.min_probability <= 1:
            raise ValueError(f"min-probability {self.min_probability} is not within 0 to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """Text to insert at the cursor."""

    text: str  # whole characters, at least two
    probability: float  # that exactly this comes next, by the model
    expected_saving: float  # keys, over staying silent until the next key


class Rollout:
    """The likeliest continuation of a predictor, symbol by symbol, grown on demand.

    Kept while the user types along with it: `follow` drops what was typed, and the next
    suggestion costs a step or two. The answer is the one from nothing, because observing moves a
    static predictor's state and no more. One that learns expects something else after every key,
    so its rollouts cannot be followed.
    """

    __slots__ = ("_may_follow", "_predictor", "probabilities", "symbols")

    def __init__(self, predictor: Predictor) -> None:
        self.symbols: list[int] = []
        self.probabilities: list[float] = []  # of each symbol, given those before it
        self._predictor = predictor.fork()  # has observed all of `symbols` but the last
        self._may_follow = not predictor.learning

    def grow(self) -> None:
        """Add the likeliest next symbol, the lowest id among equals: one step of the network."""
        if self.symbols:
            self._predictor.observe(self.symbols[-1])
        distribution = self._predictor.distribution()
        best = int(distribution.argmax())
        self.symbols.append(best)
        self.probabilities.append(float(distribution[best]))

    def follow(self, symbol: int) -> bool:
        """Move past a symbol that was typed; False, and of no more use, if a new one is needed."""
        if not self._may_follow:
            return False
        if not self.symbols:
            self.grow()
        if symbol != self.symbols[0]:
            return False
        if len(self.symbols) == 1:
            self._predictor.observe(symbol)
        del self.symbols[0], self.probabilities[0]
        return True


class Continuation(NamedTuple):
    """What a rollout reads: its text, and how probable each beginning of it is."""

    text: str
    reached: list[float]  # probability of the first 0, 1, ... characters, (n + 1,)
    is_whole: bool = True  # nothing more can be offered; else it was not looked at


def suggest(predictor: Predictor, alphabet: Alphabet, policy: Policy) -> Suggestion | None:
    """What to offer after all that `predictor` has observed, or None; the predictor stays as is."""
    return cut(readable(Rollout(predictor), alphabet, policy), policy)


def readable(rollout: Rollout, alphabet: Alphabet, policy: Policy) -> Continuation:
    """The text of `rollout`, grown as far as a cut there could matter.

    Ends where something comes that cannot be offered: a line's end, the document's end, a control
    character. A character spelled in bytes counts when its last byte is there. Does not depend on
    how sure the policy wants to be.
    """
    decoder = Decoder(alphabet)
    text = ""
    probability = 1.0
    reached = [probability]
    step = 0
    while len(text) < policy.max_characters:
        if step == len(rollout.symbols):
            rollout.grow()
        symbol = rollout.symbols[step]
        probability *= rollout.probabilities[step]
        step += 1
        if probability < policy.negligible:
            return Continuation(text, reached, is_whole=False)
        if symbol in (DOCUMENT, TEXT):
            return Continuation(text, reached)
        character = decoder.feed(symbol)
        if not character:
            continue
        if character[0] in _UNWRITABLE or (character == "\n" and not policy.multiline):
            return Continuation(text, reached)
        text += character
        reached.append(probability)
    return Continuation(text, reached)


def cut(expected: Continuation, policy: Policy) -> Suggestion | None:
    """The beginning of `expected` that is worth most keys, None if none is worth showing.

    Depends on the text and on the probability of each of its beginnings alone, so that paths
    sampled in one batch could take the place of the one greedy path.
    """
    length, saving = _best_cut(expected, policy)
    if not length:
        return None
    return Suggestion(
        text=expected.text[:length],
        probability=min(expected.reached[length], 1.0),
        expected_saving=saving,
    )


def choices(paths: Sequence[Continuation], policy: Policy, n: int) -> dict[int, Suggestion]:
    """Up to `n` of the paths for a list, by their places in `paths`: first of all the first one.

    Who asks for a list wants to read it, so each is offered to the end of a word, and until it
    parts from the others: none is what another begins with. The first, if `cut` would offer it, is
    no shorter here; the others are those by which the list is expected to save most. The paths
    have to be read with so little held negligible that words end in them.
    """
    fewest = [_fewest(path, policy) for path in paths]
    lengths: dict[int, int] = {}
    if paths and cut(paths[0], policy):
        # It is on the screen, perhaps, and stays there even if its word goes on.
        paths = [paths[0]._replace(is_whole=True), *paths[1:]]
        lengths = _together(paths, fewest, [0])
    while len(lengths) < n:
        wider = [
            _together(paths, fewest, [*lengths, number])
            for number in range(len(paths))
            if number not in lengths
        ]
        best = max(wider, key=lambda together: _saved(paths, together), default={})
        # Others that begin alike make those that are there longer, and less probable.
        if _saved(paths, best) <= _saved(paths, lengths) / 2:
            break
        lengths = best
    return {
        number: Suggestion(
            text=paths[number].text[:length],
            probability=min(paths[number].reached[length], 1.0),
            expected_saving=_saved(paths, {number: length}),
        )
        for number, length in lengths.items()
    }


# Nobody means to insert these: control characters, DEL, halves of surrogate pairs, and the mark
# of broken UTF-8.
_UNWRITABLE = frozenset(
    map(chr, (*range(0x09), *range(0x0B, 0x20), 0x7F, *range(0xD800, 0xE000), 0xFFFD))
)


def _best_cut(expected: Continuation, policy: Policy) -> tuple[int, float]:
    """(length, keys that offering this much saves over staying silent), or (0, 0.0).

    Of the beginnings that are probable enough, the one that saves most in the long run. A right
    suggestion of n characters saves n - 1 keys, a wrong one costs none, and after the next key
    there is another. So the cut is not the one with the highest reached[n] * (n - 1), which is too
    long: a shorter one is right more often and the rest can follow. Instead the user who types
    along is played out on this path, backwards from its end (optimal stopping by dynamic
    programming; Bellman 1957), beyond which nothing is assumed to be saved.
    """
    text, reached = expected.text, expected.reached
    n = len(text)
    # Probability that exactly d characters of the path come true, (n + 1,).
    ends = [here - beyond for here, beyond in zip(reached, [*reached[1:], 0.0], strict=True)]
    # saved[i][d]: keys saved from character i on if exactly d come true, 0 unless d > i.
    saved = [[0.0] * (n + 1)] * (n + 1)
    value = [0.0] * (n + 1)  # sum over d of ends[d] * saved[i][d]
    length, gain = 0, 0.0
    inked = n  # the first character from i on that can be seen
    for i in range(n - 1, -1, -1):
        if not text[i].isspace():
            inked = i
        later = saved[i + 1]
        silent = value[i + 1]  # if nothing is shown here
        least = policy.min_probability * reached[i]
        length, gain = 0, 0.0
        missed = 0.0  # what is still saved later if the suggestion is wrong
        for j in range(i + 2, n + 1):
            if reached[j] < least:
                break  # and what is longer is less probable still
            missed += ends[j - 1] * later[j - 1]
            if j <= inked and j - i < policy.min_blanks:
                continue
            over_silence = reached[j] * (j - i - 1) + value[j] + missed - silent
            if over_silence > gain:
                length, gain = j, over_silence
        if not length:
            saved[i], value[i] = later, silent
            continue
        inserted = length - i - 1
        saved[i] = later[:length] + [inserted + keys for keys in saved[length][length:]]
        value[i] = silent + gain
    return (length, gain) if length else (0, 0.0)


# -- a list ------------------------------------------------------------------------------------


def _together(
    paths: Sequence[Continuation], fewest: Sequence[int], numbers: Sequence[int]
) -> dict[int, int]:
    """Characters of each of these paths when they stand in one list; {} if they cannot."""
    lengths: dict[int, int] = {}
    for number in numbers:
        path = paths[number]
        others = [paths[other].text for other in numbers if other != number]
        parted = (_n_shared(path.text, other) + 1 for other in others)
        lengths[number] = _word_end(path, max([fewest[number], *parted]))
    return lengths if all(lengths.values()) else {}


def _saved(paths: Sequence[Continuation], lengths: dict[int, int]) -> float:
    """Keys, by one who takes what is right; it is one at most, since none begins with another."""
    return sum(paths[number].reached[length] * (length - 1) for number, length in lengths.items())


def _fewest(path: Continuation, policy: Policy) -> int:
    """Characters that are worth a line in a list: a word, if there is one, is among them."""
    length, _ = _best_cut(path, policy)
    if not length:
        length, _ = _best_cut(path, replace(policy, min_probability=0.0))
    to_word = next((i for i, character in enumerate(path.text) if character.isalnum()), -1)
    return max(length, to_word + 1, 2)


def _word_end(path: Continuation, least: int) -> int:
    """The first end of a word from `least` characters on; 0 if none was read."""
    text = path.text
    for end in range(least, len(text)):
        if not (_is_of_word(text[end - 1]) and _is_of_word(text[end])):
            return end
    return len(text) if path.is_whole and len(text) >= least else 0


def _is_of_word(character: str) -> bool:
    # Scripts from here on are mostly written without blanks between words.
    return (character.isalnum() or character in "_'’") and character < "\u2e80"


def _n_shared(a: str, b: str) -> int:
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )
