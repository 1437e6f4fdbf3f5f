"""What the memory is taught while documents are open: what is typed, and what stands in them.

Typed text is taught word by word, so that a word that is taken back letter by letter never was,
and what is expected stays the same within a word. The text of an open document replaces what was
known of it, is gone when it is closed, and must never be stored. Whatever looks like a secret is
not taught, and what was taught before it looked like one is taken back. Knows symbols and keys;
knows neither files nor what is predicted.
"""

import hashlib
import itertools
import zlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from afterword_trainer import secrets
from afterword_trainer.model.alphabet import N_BYTES, Alphabet
from afterword_trainer.model.memory import Memory, overwritten
from afterword_trainer.model.predictor import Symbols
from numpy.typing import NDArray

from afterword_daemon.states import common

MOST_DOCUMENTS = 64  # open at a time; of more, the one that was touched longest ago goes
MOST_CHARACTERS = 400_000  # of all of them, two thirds of the memory: what is typed has room, too

_OURS = "\0"  # begins our keys in the memory; no file has such a name
_DONE = object()

# Symbols between two requests: keys pressed quickly, a new line's indentation, a pair's closer.
# More at once is a paste, unless it was offered.
_MOST_TYPED = 16
_LONGEST_WORD = 24  # symbols that wait for a word's end; text without blanks may have none
_RECOGNISED = 32  # symbols by which a text is known again
_LONGEST_SECRET = 20_000  # characters; a key in a PEM block, as `secrets` has it
_WINDOW = 8000  # characters by which the search moves on, looking as far back: 2 ms
_USUAL, _LARGEST = 2000, 8000  # characters of a piece: at the seams contexts are cut off
_NEAR = 400  # characters on either side of a cursor: a secret, and the line that names it
_LINES = 8  # that were typed last: more than a secret reaches over, whichever way one went
_TELLING = 8  # characters of a secret; less of it is none


class Recollection:
    """The part of a memory that holds open documents."""

    def __init__(self, memory: Memory, alphabet: Alphabet) -> None:
        self._memory = memory
        self._alphabet = alphabet
        self._documents: dict[str, _Open] = {}  # the one touched last at the end
        self._slices: Iterator[None] = iter(())  # of what is being learned or forgotten
        self._at_hand: str | None = None  # the key being learned by those, "" for a text looked at
        self._waiting: deque[tuple[str, str | None]] = deque()  # (key, text to learn or None)
        self._generations = itertools.count()

    def remember(self, document: str, text: str) -> None:
        """Have the memory hold `text`, soon, instead of what it holds of `document`."""
        known = self._touched(document)
        # Editors end a file with a line end, and where work goes on is often its last line, half
        # written: the memory would expect that line to end here.
        known.text = text.rstrip("\n")
        known.n_characters = len(text)
        known.generation = next(self._generations)  # what is typed from here on is not in `text`
        self._bound()

    def close(self, document: str) -> None:
        """Have the memory forget, soon, what it holds of `document`."""
        if known := self._documents.pop(document, None):
            self._waiting = deque(
                (key, text) for key, text in self._waiting if text is None or key not in known.keys
            )
            self._waiting += [(key, None) for key in known.keys]

    def close_all(self) -> None:
        """Have the memory forget, soon, whatever it holds of open documents."""
        for document in list(self._documents):
            self.close(document)

    def drop(self) -> None:
        """Learn nothing of what was to be learned; what was to be forgotten still will be."""
        for known in self._documents.values():
            known.text = None
        self._waiting = deque((key, text) for key, text in self._waiting if text is None)
        if self._at_hand is not None:
            self._slices = iter(())
            self._waiting.append((self._at_hand, None))  # of which a part is learned
            self._at_hand = None

    def key(self, document: str) -> str:
        """Where what is typed into `document` is to be learned."""
        known = self._touched(document)
        key = f"{_OURS}typed {known.generation} {known.line} {document}"
        known.keys[key] = known.generation
        if key not in known.typed:
            known.typed.append(key)
        return key

    def end_line(self, document: str) -> None:
        """What is typed from here on is another line: it can be taken back without this one."""
        self._touched(document).line += 1

    def take_back(self, document: str, secret: str) -> None:
        """A secret is in `document`: forget at once the lines that were typed last.

        They hold pieces of it, taught before anybody could know. The beginning of it may have been
        told with the whole text, too: what holds that is forgotten soon. All of it comes back,
        without the secret, with the next text of the document.
        """
        known = self._documents.get(document)
        if known is None:
            return
        for key in known.typed:
            self._memory.forget(key)
            known.keys.pop(key, None)
        known.typed.clear()
        known.text = None
        known.generation = next(self._generations)  # that ends a look at a text that is under way
        begin = secret[:_TELLING]
        self._waiting = deque(
            (key, text)
            for key, text in self._waiting
            if text is None or key not in known.keys or begin not in text
        )
        told = self._memory.holding(self._alphabet.encode(begin))
        for key in known.keys.keys() & {*told, self._at_hand}:
            del known.keys[key]
            self._waiting.appendleft((key, None))

    def work(self) -> bool:
        """Learn or forget some hundred symbols, or look at as many; False: all is done."""
        if next(self._slices, _DONE) is not _DONE:
            return True
        self._at_hand = None
        if not self._memory.has_room():  # for what will be typed
            self._slices = self._memory.make_room_in_slices()
            return True
        if self._waiting:
            key, text = self._waiting.popleft()
            if text is None:
                self._slices = self._memory.forget_in_slices(key)
            else:
                self._slices = self._memory.learn_in_slices(
                    key, overwritten(self._alphabet.encode(text))
                )
                self._at_hand = key
            next(self._slices, _DONE)
            return True
        for document, known in self._documents.items():
            if known.text is not None:
                self._slices = self._plan(document, known, known.text, known.generation)
                self._at_hand = ""
                known.text = None
                return True
        return False

    def _touched(self, document: str) -> "_Open":
        known = self._documents.pop(document, None) or _Open(next(self._generations))
        self._documents[document] = known
        self._bound()
        return known

    def _bound(self) -> None:
        while len(self._documents) > MOST_DOCUMENTS or (
            len(self._documents) > 1
            and sum(known.n_characters for known in self._documents.values()) > MOST_CHARACTERS
        ):
            self.close(next(iter(self._documents)))

    def _plan(self, document: str, known: "_Open", text: str, generation: int) -> Iterator[None]:
        """See which pieces are new and which have gone: after an edit, one or two of them."""
        without_secrets = yield from _without_secrets(text)
        pieces: dict[str, str] = {}
        for piece in pieces_of(without_secrets):
            pieces[f"{_OURS}open {_digest(piece)} {document}"] = piece
            yield
        if self._documents.get(document) is not known or known.generation != generation:
            return  # closed meanwhile, or there is another text by now, or a secret was in it
        for key, since in list(known.keys.items()):
            if key not in pieces and since < generation:
                del known.keys[key]
                self._waiting.append((key, None))
        for key, piece in pieces.items():
            known.keys[key] = generation
            if not self._memory.holds(key):  # it is new, or had to go from a full memory
                self._waiting.append((key, piece))


@dataclass(slots=True)
class _Open:
    """What the memory holds, or is about to hold, of an open document."""

    generation: int  # of the latest text; what is typed into it belongs to it
    line: int = 0  # that is being typed
    typed: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES))  # keys, latest last
    keys: dict[str, int] = field(default_factory=dict)  # in the memory, and of which generation
    text: str | None = None  # that is still to be looked at
    n_characters: int = 0  # of the latest text


def is_unsaved(key: str) -> bool:
    """Whether a key in the memory is of an open document, which must never be stored."""
    return key.startswith(_OURS)


def pieces_of(text: str) -> Iterator[str]:
    """`text` in pieces of 2,000 characters or so, each cut behind a line that looks like it.

    The cuts depend on the lines alone, so they move with the text, and an edit changes a piece or
    two (content-defined chunking, after Muthitacharoen et al. 2001).
    """
    piece = ""
    for line in text.splitlines(keepends=True):
        piece += line
        while len(piece) >= _LARGEST:
            yield piece[:_LARGEST]
            piece = piece[_LARGEST:]
        # In long lines as often per character as in short ones.
        if piece and zlib.crc32(line.encode(errors="surrogatepass")) % _USUAL < len(line):
            yield piece
            piece = ""
    if piece:
        yield piece


def _without_secrets(text: str) -> Generator[None, None, str]:
    """`secrets.redact`, a window at a time: it takes 40 ms for the longest text.

    Windows overlap, so that any secret of up to 20,000 characters is whole in one of them.
    """
    spans: list[secrets.Span] = []
    for at in range(0, len(text), _WINDOW):
        begin = max(at - _WINDOW, 0)
        for span in secrets.find(text[begin : at + _LONGEST_SECRET]):
            spans.append(replace(span, start=span.start + begin, end=span.end + begin))
        yield
    spans.sort(key=lambda span: span.start)
    return secrets.without(text, spans)


# -- what was typed ----------------------------------------------------------------------------


class Found(NamedTuple):
    """A secret around a cursor."""

    secret: str
    begin: int  # of the lines that it is in, in characters from the cursor on: 0 or less
    end: int  # of the same
    is_ahead: bool  # all of it stands right of the cursor


def secrets_around(before: str, after: str) -> list[Found]:
    """Secrets near a cursor between `before` and `after`; nothing in their lines is taught."""
    left = _near(before)
    text, n = left + after[:_NEAR], len(left)
    return [
        Found(
            secret=text[span.start : span.end],
            begin=text.rfind("\n", 0, span.start) + 1 - n,
            end=(text.find("\n", span.end) + 1 or len(text) + 1) - n,
            is_ahead=span.start >= n,
        )
        for span in secrets.find(text)
    ]


def _near(before: str) -> str:
    """The end of a text, from the beginning of a line or a word on: none is cut in two."""
    left = before[-_NEAR:]
    if len(left) == len(before):
        return left
    for end in "\n ":
        if (at := left.find(end, 0, _NEAR // 2)) >= 0:
            return left[at + 1 :]
    return left


def typed(before: Symbols, now: Symbols, offered: Iterable[Symbols]) -> tuple[int, int] | None:
    """(taken back, typed): how `now`, the text up to the cursor, came from what was `before`.

    Numbers of symbols at the end of each. None if the cursor is elsewhere, or text was pasted.
    What was `offered` may have been accepted.
    """
    n = common(before, now)
    new = now[n:]
    if len(new) <= _MOST_TYPED or any(_is_accepted(new, symbols) for symbols in offered):
        return len(before) - n, len(new)
    n_new = _slid(before, now)
    return None if n_new is None else (0, n_new)


def whole_words(new: Symbols, ends_word: NDArray[np.bool_]) -> int:
    """How many of the symbols that were typed are complete words, (0 to n).

    `ends_word`, (n_symbols,), is `word_ends(alphabet)`.
    """
    if len(new) > _LONGEST_WORD:
        return len(new)
    ends = np.flatnonzero(ends_word[new])
    return int(ends[-1]) + 1 if len(ends) else 0


def word_ends(alphabet: Alphabet) -> NDArray[np.bool_]:
    """Which symbols end a word, (n_symbols,); bytes beyond ASCII are parts of letters."""
    ends = np.zeros(alphabet.size, np.bool_)
    for symbol in range(alphabet.size):
        character = alphabet.decode([symbol])
        is_byte = 128 <= symbol < N_BYTES
        ends[symbol] = not (is_byte or character.isalnum() or character in ("_", "'", "’"))
    return ends


def _slid(before: Symbols, now: Symbols) -> int | None:
    """How much was typed if `now` begins elsewhere, because whoever asks moved its anchor."""
    end = before[-_RECOGNISED:]
    if len(end) < _RECOGNISED:
        return None
    for n_new in range(min(_MOST_TYPED, len(now) - _RECOGNISED) + 1):
        if np.array_equal(now[len(now) - n_new - _RECOGNISED : len(now) - n_new], end):
            return n_new
    return None


def _is_accepted(new: Symbols, offered: Symbols) -> bool:
    """Whether `new` is a suggestion, whole or in part, and no more than a few keys behind it."""
    n = common(new, offered)
    return n > 0 and len(new) - n <= _MOST_TYPED and (n == len(offered) or n == len(new))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()
