"""The memory: what a user wrote, counted exactly, so that what was just written is known at once.

Contexts of up to five symbols are counted; longer ones, up to 32, are found where they were seen
before (a longest-match model with escape blending, after Cleary & Witten 1984; learned escapes).
`mixing.py` asks it; this module owns what it holds: documents in, documents out, bytes bounded.
The loops are in memory.c, for a Python step takes fifty times the time a keystroke leaves: see
benchmarks/README.md. Knows symbols; knows neither text nor files.

One thread at a time. Each loop keeps the interpreter's lock, so `type`, `observe` and a prediction
are whole also where threads take turns; learning, forgetting and storing are several steps each,
and a second thread that changes the memory between them may crash the process. Whoever stores it
in another thread stores a `copy`.
"""

import ctypes
import json
import weakref
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterword_trainer.model import NotBuiltError
from afterword_trainer.model.alphabet import FIRST_CHARACTER, N_ASCII, N_BYTES, Alphabet
from afterword_trainer.model.predictor import Symbols

AT_MOST_BYTES = 256 << 20  # ten megabytes of text and more; a megabyte takes about thirty
FEWEST_BYTES = 8 << 20  # an empty memory takes half of that
SLICE = 500  # symbols at one go: one millisecond to learn, two to forget
RESERVE = 4 * SLICE  # symbols that find room at once: more than is typed before there is time


class MemoryDamagedError(ValueError):
    """What was stored is not a memory, or not one for this alphabet; build it anew."""


class Memory:
    """Documents by key, and what follows each context in them."""

    def __init__(self, alphabet: Alphabet, *, at_most_bytes: int = AT_MOST_BYTES) -> None:
        """Raises ValueError for under 8 MB: a memory so small would hold nothing."""
        assert alphabet.size <= _constant("most_symbols")
        if at_most_bytes < FEWEST_BYTES:
            raise ValueError(f"at_most_bytes {at_most_bytes} is under {FEWEST_BYTES}")
        self.n_symbols = alphabet.size
        self._characters = alphabet.characters
        self._fold = _letter_ids(alphabet)
        self._at_most_bytes = at_most_bytes
        self._numbers: dict[str, int] = {}  # of documents, by key, the latest learned last
        self._next_number = 0
        self._leaving: list[int] = []  # numbers of documents that are being forgotten
        self._n_changes = 0
        self.pointer = self._empty()

    # -- documents -----------------------------------------------------------------------------

    def learn(self, key: str, symbols: Symbols) -> None:
        """Learn the document `key`, (n,) symbols, in the place of what was learned under it.

        Where there is no room the oldest documents go, and of one too large for the whole memory
        the end is kept. Raises ValueError for a symbol that the alphabet does not have.
        """
        for _ in self.learn_in_slices(key, symbols):
            pass

    def learn_in_slices(
        self, key: str, symbols: Symbols, *, at_once: int = SLICE
    ) -> Iterator[None]:
        """As `learn`, `at_once` symbols between one item and the next: an event loop stays free.

        Nor does it wait where the oldest documents have to go first: they, too, go in slices. The
        memory may be used in between, it holds what it has learned so far; in the end it is bit
        for bit the one that `learn` makes, if nothing had to go. Ends early if meanwhile somebody
        else learns or forgets `key`. Raises ValueError before the first item.
        """
        # A copy: the caller may go on editing.
        symbols = overwritten(np.array(self._checked(symbols)))
        return self._learn_in_slices(key, symbols, at_once)

    def type(self, key: str, place: "Place", symbol: int) -> None:
        """Learn one symbol more, typed at `place` in the document `key`; moves the place.

        Raises ValueError for a symbol that the alphabet does not have.
        """
        if not 0 <= symbol < self.n_symbols:
            raise ValueError(f"symbol {symbol} is not among {self.n_symbols}")
        number = self._numbers.get(key)
        if number is None:
            number = self._number(key)
        self._learn(number, place, np.array([symbol], np.uint16))

    def forget(self, key: str) -> bool:
        """Take a document out, as if it had never been learned; whether there was one."""
        there = key in self._numbers
        for _ in self.forget_in_slices(key, at_once=_ALL):
            pass
        return there

    def forget_in_slices(self, key: str, *, at_once: int = SLICE) -> Iterator[None]:
        """As `forget`, `at_once` symbols between one item and the next.

        The key is free from the first item on, and the memory may be used in between. Of a caller
        who stops half-way the next to forget anything takes out the rest.
        """
        number = self._numbers.pop(key, None)
        if number is None:
            return
        self._leaving.append(number)
        while self._leaving:
            self._n_changes += 1
            if not _library.memory_forget(self.pointer, self._leaving[0], at_once):
                del self._leaving[0]
                continue
            yield
        _library.memory_tidy(self.pointer, *_SPARSE)

    def has_room(self) -> bool:
        """Whether `RESERVE` symbols more can be learned before something has to go."""
        return bool(_library.memory_has_room(self.pointer, RESERVE, self._at_most_bytes))

    def make_room_in_slices(self) -> Iterator[None]:
        """Forget the oldest until it has room, some hundred symbols between one item and the next.

        Whoever only types does so when there is time; else `type` has to, while the user waits.
        """
        yield from self._make_room(None)

    def documents(self) -> list[str]:
        """Keys of the documents that it holds, the one that was begun last at the end."""
        return list(self._numbers)

    def holds(self, key: str) -> bool:
        """Whether there is a document of this name."""
        return key in self._numbers

    def holding(self, symbols: Symbols) -> set[str]:
        """Keys of the documents in which `symbols`, (n,), stand one after the other."""
        wanted = np.ascontiguousarray(symbols, np.uint16).tobytes()
        numbers = set()
        for stretch in self._stretches():
            text = ctypes.string_at(stretch.text, 2 * stretch.n_symbols)
            at = text.find(wanted)
            while at % 2 and at >= 0:  # half of one symbol and half of the next
                at = text.find(wanted, at + 1)
            if at >= 0:
                numbers.add(stretch.document)
        return {key for key, number in self._numbers.items() if number in numbers}

    def __len__(self) -> int:
        """How many symbols it holds."""
        return int(_library.memory_length(self.pointer))

    @property
    def n_bytes(self) -> int:
        """What it takes; never more than it is allowed."""
        return int(_library.memory_bytes(self.pointer))

    def copy(self, *, without: Collection[str] = ()) -> "Memory":
        """One that holds the same, and learns on its own from here; `without` some documents.

        It takes as many bytes again, and half a second a gigabyte.
        """
        twin = Memory.__new__(Memory)
        twin.n_symbols, twin._fold = self.n_symbols, self._fold
        twin._characters = self._characters
        twin._at_most_bytes = self._at_most_bytes
        twin._numbers, twin._next_number = dict(self._numbers), self._next_number
        twin._leaving, twin._n_changes = list(self._leaving), 0
        twin.pointer = _Pointer(_library.memory_copy(self.pointer))
        for key in without:
            twin.forget(key)
        return twin

    # -- as bytes ------------------------------------------------------------------------------

    def dump(self) -> Iterator[bytes]:
        """The whole memory, to be stored; whoever stores it adds a checksum.

        It must not change until the last piece is taken, for the pieces are read where they lie:
        raises RuntimeError if it did. To store it and go on typing, store a `copy`.
        """
        n_changes = self._n_changes
        header = {
            "version": _VERSION,
            "characters": self._characters,
            "letters": self._fold.tobytes().hex(),  # by the Unicode tables of this Python
            "documents": self._numbers,
            "leaving": self._leaving,
            "next_number": self._next_number,
            "sizes": self._sizes().tolist(),
            "arrays": [len(array) for array in self._arrays()],
        }
        yield json.dumps(header).encode() + b"\n"
        for i in range(_N_ARRAYS):
            if self._n_changes != n_changes:
                raise RuntimeError("the memory changed while it was stored; store a copy of it")
            yield bytes(self._array(i))

    @classmethod
    def restored(
        cls, data: bytes | memoryview, alphabet: Alphabet, *, at_most_bytes: int = AT_MOST_BYTES
    ) -> "Memory":
        """The memory that `dump` gave `data` of.

        Raises MemoryDamagedError for anything else, for another alphabet, and for one of more
        than `at_most_bytes`. Of data that was changed since, most is refused; what is not makes a
        memory that may expect wrong things and does nothing worse: whoever stores it adds a
        checksum.
        """
        memory = cls(alphabet, at_most_bytes=at_most_bytes)
        try:
            end = bytes(data[:_LONGEST_HEADER]).index(b"\n")
            header, body = json.loads(bytes(data[:end])), memoryview(data)[end + 1 :]
            known = header["version"], header["characters"], header["letters"]
            lengths = [int(n) for n in header["arrays"]]
            sizes = _u32(header["sizes"])
            memory._numbers = {str(key): int(n) for key, n in header["documents"].items()}
            memory._leaving = _u32(header["leaving"]).tolist()
            memory._next_number = int(header["next_number"])
        except (*_UNREADABLE, RecursionError) as error:
            raise MemoryDamagedError("what was stored of the memory cannot be read") from error
        if known != (_VERSION, alphabet.characters, memory._fold.tobytes().hex()):
            raise MemoryDamagedError("what was stored of the memory is of another alphabet")
        if sum(lengths) != len(body) or sizes.shape != memory._sizes().shape:
            raise MemoryDamagedError("what was stored of the memory is not complete")
        address = _library.memory_new(
            memory.n_symbols, _at(memory._fold), _at(sizes), at_most_bytes
        )
        if not address:
            raise MemoryDamagedError("what was stored of the memory has impossible sizes")
        memory.pointer = _Pointer(address)
        arrays = list(memory._arrays())
        if [len(array) for array in arrays] != lengths:
            raise MemoryDamagedError("what was stored of the memory does not fit together")
        at = 0
        for array in arrays:
            array[:] = body[at : at + len(array)]
            at += len(array)
        if not (_library.memory_sound(memory.pointer) and memory._numbers_are_sound()):
            raise MemoryDamagedError("what was stored of the memory contradicts itself")
        return memory

    # -- inside --------------------------------------------------------------------------------

    def _empty(self) -> "_Pointer":
        address = _library.memory_new(self.n_symbols, _at(self._fold), None, 0)
        return _Pointer(address)

    def _number(self, key: str) -> int:
        number = self._numbers[key] = self._next_number
        self._next_number += 1
        return number

    def _numbers_are_sound(self) -> bool:
        """Whether each document has a number of its own, and what is held belongs to one."""
        numbers = [*self._numbers.values(), *self._leaving]
        return (
            len(set(numbers)) == len(numbers)
            and all(0 <= number < self._next_number for number in numbers)
            and self._next_number <= _ALL
            and {stretch.document for stretch in self._stretches()} <= set(numbers)
        )

    def _checked(self, symbols: NDArray[Any]) -> Symbols:
        """The same as the loops take them, who trust what they are given."""
        if symbols.size and not 0 <= int(symbols.min()) <= int(symbols.max()) < self.n_symbols:
            wrong = symbols.min() if symbols.min() < 0 else symbols.max()
            raise ValueError(f"symbol {wrong} is not among {self.n_symbols}")
        return np.ascontiguousarray(symbols, np.uint16)

    def _sizes(self) -> NDArray[np.uint32]:
        sizes = np.zeros(_constant("sizes_bytes") // 4, np.uint32)
        _library.memory_sizes(self.pointer, _at(sizes))
        return sizes

    def _array(self, i: int) -> Any:
        """A view of what is used of memory.c's array `i`, as bytes that can be written to."""
        used = ctypes.c_uint64()
        where = _library.memory_array(self.pointer, i, ctypes.byref(used))
        return memoryview((ctypes.c_char * used.value).from_address(where)).cast("B")

    def _arrays(self) -> Iterator[Any]:
        return map(self._array, range(_N_ARRAYS))

    def _learn_in_slices(self, key: str, symbols: Symbols, at_once: int) -> Iterator[None]:
        yield from self.forget_in_slices(key, at_once=at_once)
        if key in self._numbers:
            return
        number, place = self._number(key), Place()
        for start in range(0, len(symbols), at_once):
            yield from self._make_room(number)
            if self._numbers.get(key) != number:
                return
            self._learn(number, place, symbols[start : start + at_once])
            yield

    def _learn(self, number: int, place: "Place", symbols: Symbols) -> None:
        self._n_changes += 1
        done = 0
        while True:
            rest = symbols[done:]
            done += _library.memory_learn(
                *(self.pointer, number, place.pointer, _at(rest), len(rest)), self._at_most_bytes
            )
            if done == len(symbols):
                return
            if not _library.memory_tidy(self.pointer, *_FULL):
                self._forget_oldest(number)

    def _make_room(self, number_at_hand: int | None) -> Iterator[None]:
        while not self.has_room():
            self._n_changes += 1
            if not _library.memory_tidy(self.pointer, *_NEARLY_FULL):
                self._forget_oldest(number_at_hand)
            yield

    def _forget_oldest(self, number_at_hand: int | None) -> None:
        """Take a slice out of the oldest document, which goes as a whole, sooner or later.

        Of the one at hand only the beginning goes.
        """
        oldest = next(self._stretches(), None)
        if oldest is None:  # arrays so large for what is gone that there is no room for others
            self.pointer, self._leaving = self._empty(), []
            return
        if oldest.document == number_at_hand:
            _library.memory_forget_oldest(self.pointer, SLICE)
            return
        if oldest.document not in self._leaving:
            self._leaving.insert(0, oldest.document)
            keys = (key for key, number in self._numbers.items() if number == oldest.document)
            del self._numbers[next(keys)]
        if _library.memory_forget(self.pointer, oldest.document, SLICE) < SLICE:
            self._leaving.remove(oldest.document)

    def _stretches(self) -> "Iterator[_Stretch]":
        """What was learned at one time, the oldest first; valid until the memory changes."""
        after, stretch = 0, _Stretch()
        while after := _library.memory_stretch(self.pointer, after, ctypes.byref(stretch)):
            yield stretch
            stretch = _Stretch()


class Place:
    """Where in a text we are: the symbols and the words before it. A small value, copied often.

    Belongs to one alphabet, as a memory does.
    """

    __slots__ = ("_bytes", "pointer")

    def __init__(self, before: "Place | bytes | None" = None) -> None:
        """At the beginning of a document, or where `before` is."""
        self._bytes = _PlaceBytes()
        self.pointer = ctypes.addressof(self._bytes)
        if isinstance(before, Place):
            _library.place_copy(self.pointer, before.pointer)
        elif before:
            ctypes.memmove(self.pointer, before, _PLACE_BYTES)
        else:
            _library.place_begin(self.pointer)

    def __del__(self) -> None:
        """Leave nothing behind of the text: there is one of these for every key."""
        _library.place_end(self.pointer)

    def observe(self, memory: Memory, symbol: int) -> None:
        """Move on by one symbol of the memory's alphabet."""
        _library.place_observe(memory.pointer, self.pointer, symbol)


def overwritten(symbols: Symbols) -> Symbols:
    """The same array, (n,), which owns its text: filled with zeros when its last user is gone."""
    begin, n_bytes = _at(symbols), symbols.nbytes
    # Called before the bytes are given back. At the interpreter's end nobody needs it.
    weakref.finalize(symbols, ctypes.memset, begin, 0, n_bytes).atexit = False
    return symbols


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

    Not `words.word_symbols`: here an apostrophe belongs to its word, and an underscore parts words.
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
        raise NotBuiltError(
            f"{library} cannot be loaded; install Afterword again with `pip install`, "
            "which compiles it"
        ) from error
    pointer, i32, f32 = ctypes.c_void_p, ctypes.c_int, ctypes.c_float
    u16, u32, u64 = ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64
    loaded.constant.restype, loaded.constant.argtypes = u32, [ctypes.c_char_p]
    source = library.with_suffix(".c")  # in a checkout; a wheel has it compiled and no more
    if source.exists() and loaded.constant(b"source") != zlib.crc32(source.read_bytes()):
        raise NotBuiltError(
            f"{library} was built from another {source.name} than lies beside it; "
            "`make install`, or `pip install -e .`, builds it anew"
        )
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "place_begin": (None, [pointer]),
        "place_copy": (None, [pointer, pointer]),
        "place_end": (None, [pointer]),
        "place_observe": (None, [pointer, pointer, u16]),
        "memory_new": (pointer, [u32, pointer, pointer, u64]),
        "memory_copy": (pointer, [pointer]),
        "memory_free": (None, [pointer]),
        "memory_learn": (u32, [pointer, u32, pointer, pointer, u32, u64]),
        "memory_forget": (u32, [pointer, u32, u32]),
        "memory_forget_oldest": (u32, [pointer, u32]),
        "memory_has_room": (u32, [pointer, u32, u64]),
        "memory_tidy": (u32, [pointer, u32, u32]),
        "memory_array": (pointer, [pointer, i32, pointer]),
        "memory_bytes": (u64, [pointer]),
        "memory_length": (u32, [pointer]),
        "memory_sizes": (None, [pointer, pointer]),
        "memory_sound": (u32, [pointer]),
        "memory_stretch": (u32, [pointer, u32, pointer]),
        "predict": (None, [pointer, pointer, pointer, pointer, f32, pointer, pointer]),
        "surprise": (f32, [pointer, pointer, f32, u16]),
        "learn": (None, [u32, pointer, pointer, u16, f32, f32]),
        "mixer_begin": (None, [pointer, i32]),
        "mixer_sound": (u32, [pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


def _u32(values: Any) -> NDArray[np.uint32]:
    """Raises OverflowError or ValueError for what are no such numbers."""
    numbers = [int(value) for value in values]
    if not all(0 <= number <= _ALL for number in numbers):
        raise ValueError("not among the numbers from 0 to 2**32 - 1")
    return np.array(numbers, np.uint32)


def _constant(name: str) -> int:
    """What memory.c says: the sizes of its structures, and what it has to be asked by."""
    value = int(_library.constant(name.encode()))
    assert value, name
    return value


_library = _load()
_PLACE_BYTES = _constant("place_bytes")
_PlaceBytes = ctypes.c_char * _PLACE_BYTES
_N_ARRAYS = _constant("n_arrays")
_ALL = (1 << 32) - 1  # symbols: more than there ever are
# When gaps in the text are closed, 15 ms in a memory of 20 MB: (1 / share of it, symbols).
_SPARSE = (2, 1 << 15)
_NEARLY_FULL = (10, 1)
_FULL = (1000, 1)  # now, for somebody waits: the oldest go until there are enough
_VERSION = 1  # of what is stored; changes whenever memory.c's structures do
_LONGEST_HEADER = 64 << 20  # bytes; it names every document
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError)


class _Stretch(ctypes.Structure):
    """As in memory.c."""

    _fields_ = (
        ("document", ctypes.c_uint32),
        ("n_symbols", ctypes.c_uint32),
        ("text", ctypes.POINTER(ctypes.c_uint16)),
        ("_place", ctypes.c_uint64 * (_PLACE_BYTES // 8)),  # 8 bytes each, as it is aligned
    )

    @property
    def place(self) -> bytes:
        return bytes(self._place)


library, constant = _library, _constant  # for mixing.py, the other half
