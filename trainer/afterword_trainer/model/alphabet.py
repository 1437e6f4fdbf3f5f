"""Text to symbol ids and back, without losing any text in any script.

Ids 0 to 255 are bytes (ASCII stands for itself), then control symbols, then the frequent
characters of the text at hand, one id each. Any other character is spelled in UTF-8 bytes.
Knows nothing of networks or files.
"""

import codecs
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from afterword_trainer.model.predictor import Symbols

N_BYTES = 256
DOCUMENT = 256  # a document begins: its header follows (and the one before has ended)
TEXT = 257  # the header ends: the document's own text follows
FIRST_CHARACTER = 258
N_ASCII = 128
N_CODE_POINTS = 0x110000
MAX_CHARACTERS = 4096
MOST_NEW = 192  # characters that one text adds


@dataclass(frozen=True)
class Alphabet:
    """The symbols of one model; `characters` are those beyond ASCII that have an id of their own.

    Raises ValueError if `characters` repeats one, holds ASCII, or is longer than 4096.
    """

    characters: str = ""

    def __post_init__(self) -> None:
        if len(set(self.characters)) != len(self.characters):
            raise ValueError("an alphabet names each character once")
        if any(ord(character) < N_ASCII for character in self.characters):
            raise ValueError("ASCII characters are bytes already; an alphabet names others only")
        if len(self.characters) > MAX_CHARACTERS:
            raise ValueError(f"an alphabet names at most {MAX_CHARACTERS} characters")

    @classmethod
    def from_counts(
        cls, counts: Mapping[str, int], *, at_most: int = MOST_NEW, at_least: int = 50
    ) -> "Alphabet":
        """The alphabet for text whose characters occur `counts` times.

        A character seen fewer than `at_least` times is spelled in bytes: its own id would hardly
        be trained. `at_most` bounds the softmax, so that CJK text falls back to bytes for its
        rarer characters.
        """
        return cls().extended(counts, at_most=at_most, at_least=at_least)

    def extended(
        self, counts: Mapping[str, int], *, at_most: int = MOST_NEW, at_least: int = 50
    ) -> "Alphabet":
        """This alphabet and behind it, so that no id changes, what `from_counts` would add."""
        known = set(self.characters)
        frequent = [c for c in counts if ord(c) >= N_ASCII and counts[c] >= at_least]
        new = sorted((c for c in frequent if c not in known), key=lambda c: (-counts[c], c))
        room = min(at_most, MAX_CHARACTERS - len(self.characters))
        return Alphabet(self.characters + "".join(new[:room]))

    @property
    def size(self) -> int:
        """Number of ids; the width of the network's softmax."""
        return FIRST_CHARACTER + len(self.characters)

    def encode(self, text: str) -> Symbols:
        """Ids of `text`, (n,): one per character, or one per UTF-8 byte of a rare one."""
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        symbols: Symbols = self._id_of_code_point[points]
        rare = np.flatnonzero(symbols == DOCUMENT)  # no text maps to a control symbol
        if not rare.size:
            return symbols
        pieces: list[NDArray[np.uint16]] = []
        done = 0
        for at in rare.tolist():
            spelled = text[at].encode("utf-8", "surrogatepass")
            pieces += [symbols[done:at], np.frombuffer(spelled, np.uint8).astype(np.uint16)]
            done = at + 1
        return np.concatenate([*pieces, symbols[done:]])

    def decode(self, symbols: Iterable[int]) -> str:
        """Text of `symbols`; control symbols are dropped, broken UTF-8 becomes U+FFFD.

        `decode(encode(text)) == text` for every str, lone surrogates included.
        """
        decoder = Decoder(self)
        return "".join(map(decoder.feed, symbols)) + decoder.finish()

    def header(self, path: str = "", language: str = "", modified: float = 0.0) -> Symbols:
        """What precedes a document's text: features from which its first state is primed.

        `path` is relative to the folder that was learned, `language` a name such as "markdown",
        `modified` seconds since 1970, of which the day is kept. Where nothing is known there is no
        header: text then follows the zero state, as it does where a stream begins in training,
        and not a header such as no document has. Generation that starts from features rather
        than from text is the one-to-many shape of recurrent networks.
        """
        if not path and not language:
            return np.zeros(0, np.uint16)
        known = "\t".join((path, language, _day(modified)))
        return np.concatenate(
            [np.array([DOCUMENT], np.uint16), self.encode(known), np.array([TEXT], np.uint16)]
        )

    @cached_property
    def _id_of_code_point(self) -> NDArray[np.uint16]:
        table = np.full(N_CODE_POINTS, DOCUMENT, np.uint16)
        table[:N_ASCII] = np.arange(N_ASCII)
        for index, character in enumerate(self.characters):
            table[ord(character)] = FIRST_CHARACTER + index
        return table


class Decoder:
    """Symbols to text one by one, for generation that is shown as it grows."""

    def __init__(self, alphabet: Alphabet) -> None:
        self._characters = alphabet.characters
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="surrogatepass")

    def feed(self, symbol: int) -> str:
        """The text that `symbol` completes: empty inside a character that is spelled in bytes."""
        if symbol < N_BYTES:
            return self._decode(bytes((symbol,)))
        if symbol < FIRST_CHARACTER:
            return ""
        return self.finish() + self._characters[symbol - FIRST_CHARACTER]

    def finish(self) -> str:
        """What is left of a character that never ended."""
        return self._decode(b"", final=True)

    def _decode(self, data: bytes, *, final: bool = False) -> str:
        try:
            return self._utf8.decode(data, final)
        except UnicodeDecodeError:
            # Only a model writes broken UTF-8. The byte at hand may begin a sound character.
            pending, _ = self._utf8.getstate()
            self._utf8.reset()
            lost = "\ufffd" if pending or data else ""
            return lost + (self._decode(data) if pending and data else "")


def _day(modified: float) -> str:
    """ISO 8601 in UTC; empty for a time that is unknown or no time."""
    try:
        return f"{datetime.fromtimestamp(modified, timezone.utc):%Y-%m-%d}" if modified else ""
    except (OverflowError, OSError, ValueError):
        return ""
