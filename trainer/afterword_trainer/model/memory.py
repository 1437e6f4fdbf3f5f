"""The memory: what a user wrote, counted exactly, so that what was just written is known at once.

Contexts of up to five symbols are counted; longer ones, up to 32, are found where they were seen
before (a longest-match model with escape blending, after Cleary & Witten 1984; learned escapes).
`mixing.py` asks it; this module owns what it holds: documents in, documents out, bytes bounded.
The loops are in memory.c, for a Python step takes fifty times the time a keystroke leaves: see
benchmarks/README.md. Knows symbols; knows neither text nor files. One thread at a time.
"""

import ctypes
import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterword_trainer.model.alphabet import FIRST_CHARACTER, N_ASCII, N_BYTES, Alphabet
from afterword_trainer.model.predictor import Symbols

AT_MOST_BYTES = 256 << 20  # ten megabytes of text and more; a megabyte takes about thirty
FEWEST_BYTES = 8 << 20  # an empty memory takes half of that
MOST_SYMBOLS = 8192  # memory.c's MAX_SYMBOLS, twice the largest alphabet


class MemoryDamagedError(ValueError):
    """What was stored is not a memory, or not one for this alphabet; build it anew."""


class Memory:
    """Documents by key, and what follows each context in them."""

    def __init__(self, alphabet: Alphabet, *, at_most_bytes: int = AT_MOST_BYTES) -> None:
        """Raises ValueError for under 8 MB: a memory so small would hold nothing."""
        assert alphabet.size <= MOST_SYMBOLS
        if at_most_bytes < FEWEST_BYTES:
            raise ValueError(f"at_most_bytes {at_most_bytes} is under {FEWEST_BYTES}")
        self.n_symbols = alphabet.size
        self._fold = _letter_ids(alphabet)
        self._at_most_bytes = at_most_bytes
        self._numbers: dict[str, int] = {}  # of documents, by key, the latest learned last
        self._next_number = 0
        self.pointer = _Pointer(_library.memory_new(self.n_symbols, _at(self._fold), None))

    # -- documents -----------------------------------------------------------------------------

    def learn(self, key: str, symbols: Symbols) -> None:
        """Learn the document `key`, (n,) symbols, in the place of what was learned under it.

        Where there is no room the oldest documents go, and of one too large for the whole memory
        the end is kept. Raises ValueError for a symbol that the alphabet does not have.
        """
        if symbols.size and int(symbols.max()) >= self.n_symbols:
            raise ValueError(f"symbol {symbols.max()} is not among {self.n_symbols}")
        self.forget(key)
        self._learn(self._number(key), Place(), np.ascontiguousarray(symbols, np.uint16))

    def type(self, key: str, place: "Place", symbol: int) -> None:
        """Learn one symbol more, typed at `place` in the document `key`; moves the place."""
        number = self._numbers.get(key)
        if number is None:
            number = self._number(key)
        self._learn(number, place, np.array([symbol], np.uint16))

    def forget(self, key: str) -> bool:
        """Take a document out, as if it had never been learned; whether there was one."""
        number = self._numbers.pop(key, None)
        if number is None:
            return False
        _library.memory_forget(self.pointer, number)
        return True

    def documents(self) -> list[str]:
        """Keys of the documents that it holds, the one that was begun last at the end."""
        return list(self._numbers)

    def __len__(self) -> int:
        """How many symbols it holds."""
        return int(self._sizes()[_N_ALIVE])

    @property
    def n_bytes(self) -> int:
        """What it takes; never more than it is allowed."""
        return int(_library.memory_bytes(self.pointer))

    # -- as bytes ------------------------------------------------------------------------------

    def dump(self) -> Iterator[bytes]:
        """The whole memory, to be stored; whoever stores it adds a checksum.

        It must not change until the last piece is taken: the pieces are read where they lie.
        """
        arrays = list(self._arrays())
        header = {
            "version": _VERSION,
            "alphabet": self._fold.tobytes().hex(),
            "documents": self._numbers,
            "next_number": self._next_number,
            "sizes": self._sizes().tolist(),
            "arrays": [len(array) for array in arrays],
        }
        yield json.dumps(header).encode() + b"\n"
        for array in arrays:
            yield bytes(array)

    @classmethod
    def restored(
        cls, data: bytes | memoryview, alphabet: Alphabet, *, at_most_bytes: int = AT_MOST_BYTES
    ) -> "Memory":
        """The memory that `dump` gave `data` of; only for data whose checksum was right.

        Raises MemoryDamagedError for anything else, and for another alphabet.
        """
        memory = cls(alphabet, at_most_bytes=at_most_bytes)
        try:
            end = bytes(data[:_LONGEST_HEADER]).index(b"\n")
            header, body = json.loads(bytes(data[:end])), data[end + 1 :]
            known = header["version"], header["alphabet"]
            lengths = [int(n) for n in header["arrays"]]
            sizes = np.array(header["sizes"], np.uint32)
            memory._numbers = {str(key): int(n) for key, n in header["documents"].items()}
            memory._next_number = int(header["next_number"])
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise MemoryDamagedError("what was stored of the memory cannot be read") from error
        if known != (_VERSION, memory._fold.tobytes().hex()):
            raise MemoryDamagedError("what was stored of the memory is of another alphabet")
        if sum(lengths) != len(body) or sizes.shape != memory._sizes().shape:
            raise MemoryDamagedError("what was stored of the memory is not complete")
        memory.pointer = _Pointer(
            _library.memory_new(memory.n_symbols, _at(memory._fold), _at(sizes))
        )
        arrays = list(memory._arrays())
        if [len(array) for array in arrays] != lengths:
            raise MemoryDamagedError("what was stored of the memory does not fit together")
        at = 0
        for array in arrays:
            array[:] = body[at : at + len(array)]
            at += len(array)
        return memory

    # -- inside --------------------------------------------------------------------------------

    def _number(self, key: str) -> int:
        number = self._numbers[key] = self._next_number
        self._next_number += 1
        return number

    def _sizes(self) -> NDArray[np.uint32]:
        sizes = np.zeros(_size_of(_SIZES) // 4, np.uint32)
        _library.memory_sizes(self.pointer, _at(sizes))
        return sizes

    def _arrays(self) -> Iterator[Any]:
        """Views of the arrays in use, as bytes that can be written to."""
        used = ctypes.c_uint64()
        for i in range(_N_ARRAYS):
            where = _library.memory_array(self.pointer, i, ctypes.byref(used))
            view = (ctypes.c_char * used.value).from_address(where)
            yield memoryview(view).cast("B")

    def _learn(self, number: int, place: "Place", symbols: Symbols) -> None:
        done = 0
        while True:
            rest = symbols[done:]
            done += _library.memory_learn(
                *(self.pointer, number, place.pointer, _at(rest), len(rest)), self._at_most_bytes
            )
            if done == len(symbols):
                return
            self._shrink(number)

    def _shrink(self, number_at_hand: int) -> None:
        """Learn the newest two thirds of it anew; the oldest go."""
        to_keep = 2 * len(self) // 3
        kept: list[tuple[int, Symbols]] = []
        for number, symbols in reversed(list(self._stretches())):
            if to_keep > 0:
                kept.append((number, symbols[-to_keep:].copy()))
                to_keep -= len(symbols)
        self.pointer = _Pointer(_library.memory_new(self.n_symbols, _at(self._fold), None))
        for number, symbols in reversed(kept):
            self._learn(number, Place(), symbols)
        numbers = {number for number, _ in kept} | {number_at_hand}
        self._numbers = {key: n for key, n in self._numbers.items() if n in numbers}

    def _stretches(self) -> Iterator[tuple[int, Symbols]]:
        """(number of a document, symbols) of every stretch that was learned at one time."""
        text = np.frombuffer(list(self._arrays())[_TEXT], np.uint16)
        found = np.zeros(3, np.uint32)
        after = 0
        while after := _library.memory_stretch(self.pointer, after, _at(found)):
            number, first, end = found.tolist()
            yield number, text[first:end]


class Place:
    """Where in a text we are: the symbols and the words before it. A small value, copied often."""

    __slots__ = ("_bytes", "pointer")

    def __init__(self, before: "Place | None" = None) -> None:
        """At the beginning of a document, or where `before` is."""
        self._bytes: ctypes.Array[ctypes.c_char] = ctypes.create_string_buffer(
            before._bytes.raw if before else bytes(_PLACE_BYTES)
        )
        self.pointer = ctypes.addressof(self._bytes)
        if not before:
            _library.place_begin(self.pointer)

    def observe(self, memory: Memory, symbol: int) -> None:
        """Move on by one symbol."""
        _library.place_observe(memory.pointer, self.pointer, symbol)


class _Pointer:
    """A memory on the C side, freed with its last owner."""

    def __init__(self, address: int | None) -> None:
        if not address:
            raise MemoryError("there is no room for the memory")
        self._as_parameter_ = address

        # Bound here, for at the interpreter's end the module may go before its last memory.
        self._free = weakref.finalize(self, _library.memory_free, address)


def _letter_ids(alphabet: Alphabet) -> Symbols:
    """Which letter each symbol is, case aside, 0 for none, (n_symbols,): words are made of them.

    Not `words.letters`: here an apostrophe belongs to its word, and an underscore parts words.
    """
    letters = np.zeros(alphabet.size, np.uint16)
    letters[N_ASCII:N_BYTES] = np.arange(N_ASCII, N_BYTES)  # bytes beyond ASCII spell letters
    for symbol in (*range(N_ASCII), *range(FIRST_CHARACTER, alphabet.size)):
        character = alphabet.decode([symbol])
        if character.isalnum() or character in "'’":
            lower = character.lower()
            ids = alphabet.encode(lower if len(lower) == 1 else character)
            letters[symbol] = ids[0] if len(ids) == 1 else symbol
    return letters


def _at(array: NDArray[Any]) -> int:
    """Where its first item is."""
    return int(array.ctypes.data)


def _load() -> Any:
    library = Path(__file__).with_name("memory.clib")
    try:
        # Not CDLL, which would let another thread in while the loops run.
        loaded = ctypes.PyDLL(str(library))
    except OSError as error:
        raise ImportError(
            f"{library.name} is not beside {Path(__file__).name}: install Afterword again with "
            "`pip install`, which compiles it"
        ) from error
    pointer, i32, f32 = ctypes.c_void_p, ctypes.c_int, ctypes.c_float
    u16, u32 = ctypes.c_uint16, ctypes.c_uint32
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "size_of": (u32, [i32]),
        "place_begin": (None, [pointer]),
        "place_observe": (None, [pointer, pointer, u16]),
        "memory_new": (pointer, [u32, pointer, pointer]),
        "memory_free": (None, [pointer]),
        "memory_learn": (u32, [pointer, u32, pointer, pointer, u32, ctypes.c_uint64]),
        "memory_forget": (u32, [pointer, u32]),
        "memory_array": (pointer, [pointer, i32, pointer]),
        "memory_bytes": (ctypes.c_uint64, [pointer]),
        "memory_sizes": (None, [pointer, pointer]),
        "memory_stretch": (u32, [pointer, u32, pointer]),
        "predict": (None, [pointer, pointer, pointer, pointer, pointer, pointer]),
        "learn": (None, [u32, pointer, pointer, u16, f32, f32]),
        "mixer_begin": (None, [pointer, i32]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


def _size_of(what: int) -> int:
    return int(_library.size_of(what))


_library = _load()
_PLACE, MIXER, TRACE, _SIZES = range(4)  # as `size_of` counts them
_PLACE_BYTES = _size_of(_PLACE)
_N_ARRAYS, _TEXT = 11, 6  # of memory.c's arrays, and which one is the text
_N_ALIVE = 3  # in memory.c's sizes
_VERSION = 1  # of what is stored; changes whenever memory.c's structures do
_LONGEST_HEADER = 64 << 20  # bytes; it names every document

library, size_of = _library, _size_of  # for mixing.py, the other half
