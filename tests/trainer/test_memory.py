"""The memory: documents in, documents out exactly, bytes bounded, stored and restored."""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from afterword_trainer import durable, remembering
from afterword_trainer.baselines import ppmd_bits
from afterword_trainer.measures import bits_per_character
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.memory import (
    FEWEST_BYTES,
    RESERVE,
    SLICE,
    Memory,
    MemoryDamagedError,
    Place,
    library,
    overwritten,
)
from afterword_trainer.model.mixing import Mix, Mixer
from afterword_trainer.model.predictor import Distribution, prime
from afterword_trainer.remembering import Remembered
from hypothesis import given, settings
from hypothesis import strategies as st

ALPHABET = Alphabet("äß€")
LETTERS = Path(__file__).parents[2] / "examples" / "letters"
BOOK = "\n".join(path.read_text(encoding="utf-8") for path in sorted(LETTERS.rglob("*.txt")))[
    :200_000
]

# Few words, so that contexts of all lengths come again.
TEXTS = st.lists(
    st.sampled_from(
        ["the ", "cat ", "sat", " on ", "The mat", ". ", "\n", "ä€", "x", "\U0001f600"]
    ),
    min_size=1,
    max_size=40,
).map("".join)


def expected(memory: Memory, text: str) -> Distribution:
    """What a memory expects after `text`."""
    mix = Mix(None, memory, Mixer(alone=True), learning=False)
    for symbol in ALPHABET.encode(text).tolist():
        mix.observe(symbol)
    return mix.distribution()


def memory_of(**documents: str) -> Memory:
    """Documents learned in the order of the arguments."""
    memory = Memory(ALPHABET)
    for key, text in documents.items():
        memory.learn(key, ALPHABET.encode(text))
    return memory


@settings(max_examples=60)
@given(first=TEXTS, gone=TEXTS, last=TEXTS, prompt=TEXTS)
def test_a_forgotten_document_might_never_have_been_learned(
    first: str, gone: str, last: str, prompt: str
) -> None:
    """Bit for bit the same expectations, whatever stood before and after it."""
    memory = memory_of(first=first, gone=gone, last=last)
    assert memory.forget("gone")

    assert memory.documents() == ["first", "last"]
    never = memory_of(first=first, last=last)
    assert len(never) == len(memory)
    np.testing.assert_array_equal(expected(never, prompt), expected(memory, prompt))


def test_forgetting_much_leaves_room_for_more() -> None:
    """The space of what was forgotten is used again, and what is left is still found."""
    text = BOOK[:80_000]
    memory = memory_of(kept="Some words that nobody else would write: quixotic zeugma. " * 3)
    sizes = []
    for _ in range(8):
        memory.learn("draft", ALPHABET.encode(text))
        sizes.append(memory.n_bytes)

    assert sizes[3] == sizes[-1]
    memory.forget("draft")
    assert ord("z") == int(expected(memory, "would write: quixotic ").argmax())


@settings(max_examples=60)
@given(text=TEXTS, prompt=TEXTS)
def test_learning_again_replaces(text: str, prompt: str) -> None:
    """A saved file takes the place of what it was before."""
    memory = memory_of(note="an older version " * 3)
    memory.learn("note", ALPHABET.encode(text))

    np.testing.assert_array_equal(expected(memory_of(note=text), prompt), expected(memory, prompt))


@settings(max_examples=60)
@given(before=TEXTS, text=TEXTS, prompt=TEXTS)
def test_typing_teaches_what_saving_does(before: str, text: str, prompt: str) -> None:
    """Symbol by symbol or at once: the same memory."""
    typed = memory_of(before=before)
    mix = Mix(None, typed, Mixer(alone=True), learning=True, key="note")
    for symbol in ALPHABET.encode(text).tolist():
        mix.observe(symbol)

    saved = memory_of(before=before, note=text)
    np.testing.assert_array_equal(expected(saved, prompt), expected(typed, prompt))
    assert saved.forget("note") == typed.forget("note") is True
    np.testing.assert_array_equal(expected(saved, prompt), expected(typed, prompt))


def test_two_documents_typed_in_turns_are_forgotten_apart() -> None:
    """Stretches of both lie mixed; each goes without the other."""
    memory = Memory(ALPHABET)
    texts = {"a": "the heron stood in the reeds at dawn", "b": "compile the parser before tests"}
    mixes = {k: Mix(None, memory, Mixer(alone=True), learning=True, key=k) for k in texts}
    for at in range(0, 40, 5):
        for key, text in texts.items():
            for symbol in ALPHABET.encode(text[at : at + 5]).tolist():
                mixes[key].observe(symbol)
    assert ord("i") == int(expected(memory, "the heron stood in the reeds. comp").argmax())
    memory.forget("a")

    assert len(texts["b"]) == len(memory)
    assert expected(memory, "the her")[ord("o")] < 0.2
    assert ord("i") == int(expected(memory, "comp").argmax())


@pytest.mark.parametrize(
    ("learned", "prompt", "next_"),
    [
        ("Dear Gwendolyn, thank you.", "Dear Gwen", "d"),
        ("the same\nline wrapped", "the same line wr", "a"),  # words, whatever is between them
        ("Straße und Äpfel für 3 €", "Straße und Äpfel für 3 ", "€"),
        ("\U0001f600\U0001f601 " * 3, "\U0001f600", "\U0001f601"),  # spelled in bytes
        ("x" * 500, "x" * 40, "x"),
        ("", "", None),
    ],
)
def test_what_was_written_once_is_expected(learned: str, prompt: str, next_: str | None) -> None:
    """Once is enough, in any script."""
    p = expected(memory_of(note=learned), prompt)

    assert pytest.approx(1.0, abs=1e-4) == float(p.sum())
    assert (p > 0).all()
    if next_:
        assert int(ALPHABET.encode(next_)[0]) == int(p.argmax())


def test_many_ways_to_go_on_fit_into_a_trace() -> None:
    """Each length of match may vote for as many symbols as there are places: none is too many."""
    alphabet = Alphabet("".join(chr(0x4E00 + i) for i in range(200)))
    context = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ"
    lengths = [12, 14, 16, 18, 20, 24, 28] + [32] * 25 + [6, 7, 8, 9, 10] + [11] * 59
    memory = Memory(alphabet)
    for number, length in enumerate(lengths):
        text = f"{context[-length:]}{alphabet.characters[number]}"
        memory.learn(str(number), alphabet.encode(text))
    mix = Mix(None, memory, Mixer.default(alone=True), learning=False)
    for symbol in alphabet.encode(context).tolist():
        mix.observe(symbol)
    p = mix.distribution()

    assert pytest.approx(1.0, abs=1e-4) == float(p.sum())
    assert p[:32].min() == p[:32].max()  # never seen: no vote strayed into another expert's room


def test_it_needs_fewer_bits_than_ppmd() -> None:
    """The rival learned the same letters and goes on learning as this does."""
    learned, test = BOOK[:150_000], BOOK[150_000:170_000]
    alphabet = Alphabet()
    memory = Memory(alphabet)
    memory.learn("older", alphabet.encode(learned))
    mix = Mix(None, memory, Mixer.default(alone=True), learning=True)
    bits = bits_per_character(mix, alphabet, test, np.zeros(0, np.uint16))

    assert bits.bits < min(ppmd_bits(learned, test, order) for order in (4, 6, 8))


def test_it_stays_within_its_bytes() -> None:
    """The oldest documents go first, and the newest stay whole."""
    memory = Memory(ALPHABET, at_most_bytes=FEWEST_BYTES)
    draw = np.random.default_rng(0)
    for number in range(15):
        memory.learn(str(number), draw.integers(32, 127, 20_000).astype(np.uint16))
        assert memory.n_bytes <= FEWEST_BYTES
    memory.learn("huge", draw.integers(32, 127, 200_000).astype(np.uint16))
    assert memory.documents() == ["huge"]
    assert len(memory) > 20_000  # its end
    memory.learn("last", ALPHABET.encode("thank you for the marmalade"))

    assert "0" not in memory.documents()
    assert memory.documents()[-1] == "last"
    assert memory.n_bytes <= FEWEST_BYTES
    assert ord("m") == int(expected(memory, "thank you for the mar").argmax())


@settings(max_examples=20)
@given(first=TEXTS, gone=TEXTS, later=TEXTS, prompt=TEXTS)
def test_it_is_restored_as_it_was(first: str, gone: str, later: str, prompt: str) -> None:
    """And goes on learning and forgetting as the original does."""
    original = memory_of(first=first, gone=gone)
    copy = Memory.restored(b"".join(original.dump()), ALPHABET)
    for memory in (original, copy):
        memory.forget("gone")
        memory.learn("later", ALPHABET.encode(later))

    assert original.documents() == copy.documents()
    np.testing.assert_array_equal(expected(original, prompt), expected(copy, prompt))


def test_a_damaged_file_is_no_memory(tmp_path: Path) -> None:
    """Whichever byte is wrong or missing, and for another alphabet: built anew, never half read."""
    memory, mixer = memory_of(note="the cat sat on the mat"), Mixer()
    path = tmp_path / "memory"
    remembering.save(path, Remembered(memory=memory, mixer=mixer, id="0" * 16))
    data = path.read_bytes()
    found = remembering.load(path, ALPHABET)
    assert found is not None
    np.testing.assert_array_equal(expected(memory, "the c"), expected(found.memory, "the c"))
    np.testing.assert_array_equal(mixer.values, found.mixer.values)
    assert found.id == "0" * 16

    assert remembering.load(tmp_path / "none", ALPHABET) is None
    for other in ("äß", "öß€", "ßä€"):  # with as many letters, too: its text would be another
        assert remembering.load(path, Alphabet(other)) is None
    for at in (0, 20, 30, 3_000, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert remembering.load(path, ALPHABET) is None, at
        path.write_bytes(data[:at])
        assert remembering.load(path, ALPHABET) is None, at


def test_a_file_of_no_use_is_out_of_the_way(tmp_path: Path) -> None:
    """Of an older version, as a damaged one: who owns it sets it aside, as it is."""
    path = tmp_path / "memory"
    assert remembering.load_or_set_aside(path, ALPHABET) is None
    assert list(tmp_path.iterdir()) == []
    remembering.save(path, Remembered(memory=memory_of(note="the cat"), mixer=Mixer()))
    assert remembering.load_or_set_aside(path, ALPHABET) is not None
    old = path.read_bytes().replace(b"memory 2\n", b"memory 1\n")
    path.write_bytes(old)
    assert remembering.load_or_set_aside(path, ALPHABET) is None

    assert [file.read_bytes() for file in tmp_path.iterdir()] == [old]


@pytest.mark.parametrize(
    "data",
    [b"", b"{}\n", b"[1]\n", b"\xff\n", b'{"version": 1}\n', b"[" * 100_000 + b"\n"],
    ids=["nothing", "empty", "a list", "not text", "too short", "too deep"],
)
def test_what_is_no_memory_is_refused(data: bytes) -> None:
    """Clear errors for what never was one."""
    with pytest.raises(MemoryDamagedError):
        Memory.restored(data, ALPHABET)


def test_words_are_known_again_in_capitals() -> None:
    """A heading is of the words of its text, though no letter of it stood there."""
    memory = memory_of(note="by the old lighthouse we met. " * 20)
    mixer = Mixer.default(alone=True)

    def probability_of_h(after: str) -> float:
        mix = Mix(None, memory, mixer, learning=False)
        prime(mix, ALPHABET.encode(after))
        return float(mix.distribution()[ord("h")])

    assert probability_of_h("BY THE OLD LIG") > 1.2 * probability_of_h("BY THE SEA LIG")


def test_symbols_of_another_alphabet_are_refused() -> None:
    """The loops trust their input, so it is looked at before."""
    memory = Memory(ALPHABET)
    with pytest.raises(ValueError, match="symbol 300 is not among 261"):
        memory.learn("note", np.array([65, 300], np.uint16))
    with pytest.raises(ValueError, match="symbol -1 is not among 261"):
        memory.learn_in_slices("note", np.array([65, -1]))  # type: ignore[arg-type]  # as may be
    with pytest.raises(ValueError, match="symbol 261 is not among 261"):
        memory.type("note", Place(), 261)
    with pytest.raises(ValueError, match="at_most_bytes 5"):
        Memory(ALPHABET, at_most_bytes=5)
    assert memory.documents() == []


# -- in slices ---------------------------------------------------------------------------------


def dumped(memory: Memory) -> bytes:
    """All of it."""
    return b"".join(memory.dump())


@settings(max_examples=20)
@given(before=TEXTS, old=TEXTS, text=TEXTS, at_once=st.integers(1, 70))
def test_slices_make_the_whole(before: str, old: str, text: str, at_once: int) -> None:
    """However a document is cut, learned or replaced, byte for byte the same memory."""
    whole, sliced = memory_of(before=before, note=old), memory_of(before=before, note=old)
    whole.learn("note", ALPHABET.encode(text))
    for _ in sliced.learn_in_slices("note", ALPHABET.encode(text), at_once=at_once):
        np.testing.assert_allclose(1.0, expected(sliced, "the c").sum(), atol=1e-4)

    assert dumped(whole) == dumped(sliced)
    for _ in sliced.forget_in_slices("note", at_once=at_once):
        assert sliced.documents() == ["before"]
        np.testing.assert_allclose(1.0, expected(sliced, "the c").sum(), atol=1e-4)
    whole.forget("note")
    np.testing.assert_array_equal(expected(whole, text), expected(sliced, text))
    np.testing.assert_array_equal(expected(memory_of(before=before), text), expected(sliced, text))


@pytest.mark.parametrize("at", [0, 1, 5, 25])
def test_who_learns_last_is_learned(at: int) -> None:
    """A document that was saved again while it was learned holds what was saved last."""
    memory = memory_of(note="an older version " * 9)
    first = memory.learn_in_slices("note", ALPHABET.encode("the cat sat. " * 20), at_once=10)
    for _ in range(at):
        next(first)
    memory.learn("note", ALPHABET.encode("the mat"))
    for _ in first:
        pass
    if at:  # one that had not begun comes later, and is the last
        assert len("the mat") == len(memory)
    memory.forget("note")

    assert (len(memory), memory.documents()) == (0, [])


def test_what_was_half_forgotten_is_forgotten_after_a_restart() -> None:
    """Whoever stopped half-way: the next to forget anything takes out the rest."""
    memory = memory_of(secret="the cat sat " * 30, note="on the mat " * 3)
    next(memory.forget_in_slices("secret", at_once=5))
    memory = Memory.restored(dumped(memory), ALPHABET)
    memory.learn("other", ALPHABET.encode("x"))
    memory.forget("other")
    memory.learn("new", ALPHABET.encode("y"))
    memory.forget("new")

    never = memory_of(note="on the mat " * 3)
    np.testing.assert_array_equal(expected(never, "the c"), expected(memory, "the c"))


def test_forgetting_leaves_no_trace_in_the_rounding() -> None:
    """Sums do not depend on who brought a symbol in first."""
    draw = np.random.default_rng(0)
    texts = {key: (32 + draw.zipf(1.3, 3000) % 220).astype(np.uint16) for key in "abc"}
    memory, never = Memory(ALPHABET), Memory(ALPHABET)
    for key, symbols in texts.items():
        memory.learn(key, symbols)
        if key != "b":
            never.learn(key, symbols)
    memory.forget("b")

    for prompt in ("!", "!!", "!#", "ab"):
        np.testing.assert_array_equal(expected(never, prompt), expected(memory, prompt))


def test_no_walk_begins_among_the_forgotten() -> None:
    """Else every prediction would wade through them: a megabyte of notes, milliseconds."""
    memory = memory_of(old="a" * 1000 + "the cat sat on the mat", new="a" * 5000, newer="a" * 99)
    memory.forget("new")
    memory.forget("newer")
    arrays = list(memory.dump())[1:]
    text = np.frombuffer(arrays[6], np.uint16)
    for previous, head in zip(arrays[:3], arrays[3:6], strict=True):
        at = np.frombuffer(head, np.uint32)
        at = at[at != 0xFFFFFFFF]
        assert (text[at] != 0xFFFF).all()
        before = np.frombuffer(previous, np.uint32)[text != 0xFFFF]
        assert (text[before[before != 0xFFFFFFFF]] != 0xFFFF).all()


def test_closing_gaps_leaves_what_would_be_there_without_them() -> None:
    """Text and links bit for bit, where the same contexts stood in what is gone, too."""
    same = BOOK[:9_000]
    memory = memory_of(a=same, gone=same + BOOK[9_000:60_000], b=same + "x", empty="", c="y" + same)
    memory.forget("gone")
    never = memory_of(a=same, b=same + "x", empty="", c="y" + same)
    assert list(never.dump())[1:8] == list(memory.dump())[1:8]


def test_replacing_in_a_full_memory_drives_nobody_out() -> None:
    """What was forgotten makes the room; the others stay."""
    draw = np.random.default_rng(0)
    memory = Memory(ALPHABET, at_most_bytes=FEWEST_BYTES)
    texts = draw.integers(97, 99, (8, 40_000)).astype(np.uint16)  # few contexts: it is the text
    memory.learn("letters", texts[:4].ravel())  # that fills the memory
    for text in texts:
        memory.learn("draft", text)

    assert len(memory) == 5 * 40_000
    assert memory.documents() == ["letters", "draft"]
    assert memory.n_bytes <= FEWEST_BYTES


# -- full --------------------------------------------------------------------------------------


def full_memory(n: int = 150_000) -> Memory:
    """As many documents of random words as fit into the fewest bytes, and no more of them."""
    memory = Memory(ALPHABET, at_most_bytes=FEWEST_BYTES)
    draw = np.random.default_rng(1)
    words = draw.integers(97, 123, (2000, 6)).astype(np.uint16)
    words[:, -1] = ord(" ")
    for number, text in enumerate(words[draw.integers(0, 2000, n // 6)].reshape(-1, 1500)):
        memory.learn(f"old {number}", text)
    assert "old 0" not in memory.documents()  # it is full
    return memory


def test_room_is_made_in_slices() -> None:
    """No step takes more than a slice out or in, so an event loop waits for no more."""
    memory = full_memory()
    n_before = len(memory)
    text = np.random.default_rng(2).integers(32, 127, 20_000).astype(np.uint16)
    for _ in memory.learn_in_slices("new", text):
        assert abs(len(memory) - n_before) <= SLICE
        assert memory.n_bytes <= FEWEST_BYTES
        n_before = len(memory)
    assert memory.documents()[-1] == "new"
    assert len(memory) > len(text)  # nor was more driven out than there had to be


def test_typing_into_a_full_memory_waits_for_little() -> None:
    """Even of somebody who never leaves time to make room; who does never waits at all."""
    memory = full_memory()
    symbols = np.random.default_rng(3).integers(32, 127, 6000).tolist()
    place = Place()
    for symbol in symbols:
        n_before = len(memory)
        memory.type("typed", place, symbol)
        assert n_before - len(memory) <= 4 * SLICE
        assert memory.n_bytes <= FEWEST_BYTES
    for _ in memory.make_room_in_slices():
        pass
    assert memory.has_room()
    for n, symbol in enumerate(symbols[:RESERVE], len(memory) + 1):
        memory.type("typed", place, symbol)
        assert n == len(memory)
    memory.forget("typed")
    assert all(key.startswith("old") for key in memory.documents())


def test_what_has_to_go_leaves_nothing_behind() -> None:
    """Of a document that lost its beginning, or of whatever lies in its place later."""
    memory = full_memory()
    kept = memory.documents()
    for _ in memory.learn_in_slices("new", ALPHABET.encode(BOOK[:30_000])):
        pass
    gone = [key for key in kept if key not in memory.documents()]
    assert gone == kept[: len(gone)]  # the oldest
    for key in memory.documents():
        memory.forget(key)
    assert len(memory) == 0
    memory.learn("note", ALPHABET.encode(BOOK[:20_000]))
    never = memory_of(note=BOOK[:20_000])
    for prompt in ("", "the ", "Dear M", BOOK[19_000:19_100]):
        np.testing.assert_array_equal(expected(never, prompt), expected(memory, prompt))


def test_typing_on_for_ever_keeps_what_is_latest() -> None:
    """One document larger than the memory goes from its beginning on."""
    memory = Memory(ALPHABET, at_most_bytes=FEWEST_BYTES)
    text = np.random.default_rng(4).integers(32, 127, 120_000).astype(np.uint16)
    text[-50:-25] = text[-25:]
    place = Place()
    for symbol in text[:-5].tolist():
        memory.type("", place, symbol)
    assert memory.documents() == [""]
    assert 20_000 < len(memory) < 119_000
    assert int(text[-5]) == int(expected(memory, ALPHABET.decode(text[-25:-5])).argmax())


# -- stored ------------------------------------------------------------------------------------


def kept(memory: Memory) -> Remembered:
    """What is stored of a memory."""
    return Remembered(memory=memory, mixer=Mixer())


def test_open_documents_are_left_out_of_what_is_saved(tmp_path: Path) -> None:
    """As if they had never been; the memory itself keeps them."""
    memory = memory_of(note="the cat sat on the mat", draft="Yours, Wilhelmina", last="x")
    before = dumped(memory)
    copy = memory.copy(without=["draft", "nobody's"])
    remembering.save(tmp_path / "memory", kept(copy))
    found = remembering.load(tmp_path / "memory", ALPHABET)

    assert found is not None
    assert found.memory.documents() == ["note", "last"]
    assert ALPHABET.encode("Wilhelmina").tobytes() not in (tmp_path / "memory").read_bytes()
    never = memory_of(note="the cat sat on the mat", last="x")
    for prompt in ("the c", "Yours, Wil"):
        np.testing.assert_array_equal(expected(never, prompt), expected(found.memory, prompt))
    assert before == dumped(memory)


def test_a_copy_goes_its_own_way() -> None:
    """Neither learns from the other."""
    memory = memory_of(note="the cat sat on the mat")
    copy = memory.copy()
    assert dumped(memory) == dumped(copy)
    copy.learn("note", ALPHABET.encode("x"))

    assert len("the cat sat on the mat") == len(memory)


def test_one_that_changes_is_not_stored() -> None:
    """Half of the old and half of the new would be neither."""
    memory = memory_of(note="the cat sat on the mat")
    pieces = memory.dump()
    next(pieces)
    memory.type("note", Place(), 97)

    with pytest.raises(RuntimeError, match="store a copy"):
        next(pieces)


def test_one_of_more_bytes_than_allowed_is_refused() -> None:
    """Of a user who made it smaller."""
    memory = memory_of(note=BOOK)
    assert memory.n_bytes > FEWEST_BYTES
    with pytest.raises(MemoryDamagedError, match="sizes"):
        Memory.restored(dumped(memory), ALPHABET, at_most_bytes=FEWEST_BYTES)


SAVE = """
import sys
from pathlib import Path
from afterword_trainer import remembering
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.memory import Memory
from afterword_trainer.model.mixing import Mixer
memory = Memory(Alphabet("äß€"))
memory.learn(sys.argv[2], memory_text := Alphabet("äß€").encode(sys.argv[2] * 50))
for _ in range(int(sys.argv[3])):
    remembering.save(Path(sys.argv[1]), remembering.Remembered(memory=memory, mixer=Mixer()))
"""


def saving(path: Path, key: str, times: int, failpoint: str = "") -> subprocess.Popen[bytes]:
    """A process that saves a memory with the one document `key`."""
    environment = {**os.environ, "AFTERWORD_FAILPOINT": failpoint}
    return subprocess.Popen(
        [sys.executable, "-c", SAVE, str(path), key, str(times)], env=environment
    )


@pytest.mark.parametrize(
    ("failpoint", "left"), [("file.written", "old"), ("replace.after_rename", "new")]
)
def test_killed_while_saving(tmp_path: Path, failpoint: str, left: str) -> None:
    """The old memory or the new one, whole."""
    path = tmp_path / "memory"
    remembering.save(path, kept(memory_of(old="the cat sat on the mat")))
    assert saving(path, "new", 1, f"{failpoint}:kill").wait(60) < 0

    found = remembering.load(path, ALPHABET)
    assert found is not None
    assert [left] == found.memory.documents()


def test_two_processes_may_save_at_once(tmp_path: Path) -> None:
    """The last one's is there, whole."""
    path = tmp_path / "memory"
    both = [saving(path, key, 5) for key in ("one", "two")]
    assert [process.wait(60) for process in both] == [0, 0]

    found = remembering.load(path, ALPHABET)
    assert found is not None
    assert found.memory.documents() in (["one"], ["two"])


def test_what_cannot_be_saved_is_said(tmp_path: Path) -> None:
    """A sentence, and nothing half written."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(durable.StateError, match="file"):
        remembering.save(tmp_path / "file" / "memory", kept(memory_of(note="x")))


# -- damaged, with a checksum that is right ----------------------------------------------------

STORED = memory_of(note="the cat sat on the mat " * 9, gone="x" * 99, last="The mat. " * 9)
STORED.forget("gone")
HEADER, _, BODY = dumped(STORED).partition(b"\n")


def live_or_refuse(data: bytes) -> None:
    """Restore `data`; whatever comes of it learns, answers and forgets like a memory."""
    try:
        memory = Memory.restored(data, ALPHABET, at_most_bytes=FEWEST_BYTES)
    except MemoryDamagedError:
        return
    mix = Mix(None, memory, Mixer.default(alone=True), learning=True, key="typed")
    for symbol in ALPHABET.encode("the cat sat on the mat").tolist():
        mix.observe(symbol)
        np.testing.assert_allclose(1.0, mix.distribution().sum(), atol=1e-3)
    for key in memory.documents():
        memory.forget(key)


@settings(max_examples=60)
@given(st.data())
def test_damaged_arrays_do_no_harm(data: st.DataObject) -> None:
    """Cycles, links to nowhere, counts of too many: refused, or wrong and nothing worse."""
    body = bytearray(BODY)
    lengths = json.loads(HEADER)["arrays"]
    for _ in range(data.draw(st.integers(1, 4))):
        array = data.draw(st.sampled_from([0, 1, 2, 6, 7, 8, 9, 10]))
        words = np.frombuffer(BODY, np.uint32, lengths[array] // 4, sum(lengths[:array]))
        at = int(data.draw(st.sampled_from(np.flatnonzero(words)[:4000].tolist())))
        number = data.draw(st.sampled_from([0, 1, 7, 300, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]))
        at = sum(lengths[:array]) + 4 * at
        body[at : at + 4] = number.to_bytes(4, "little")

    live_or_refuse(HEADER + b"\n" + bytes(body))


@pytest.mark.parametrize("value", [-1, 0, 1, 2**31, 2**32 - 1, 2**32, 1.5, float("nan"), None, "x"])
def test_sizes_that_cannot_be_are_refused(value: object) -> None:
    """Before anything is made as large."""
    for at in range(len(json.loads(HEADER)["sizes"])):
        header = json.loads(HEADER)
        header["sizes"][at] = value
        live_or_refuse(json.dumps(header).encode() + b"\n" + BODY)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("documents", lambda documents: {**documents, "twin": documents["note"]}),
        ("documents", lambda documents: {"last": documents["last"]}),  # nobody's text
        ("documents", lambda documents: {key: -1 for key in documents}),
        ("leaving", lambda _: [-1]),
        ("leaving", lambda _: [99]),
        ("next_number", lambda _: 0),
        ("next_number", lambda _: 1 << 40),
        ("arrays", lambda arrays: [1 << 50, *arrays[1:]]),
        ("version", lambda _: 2),
    ],
)
def test_headers_that_contradict_are_refused(name: str, change: Callable[[Any], Any]) -> None:
    """Documents, numbers and what is held fit together or are no memory."""
    header = json.loads(HEADER)
    header[name] = change(header[name])
    with pytest.raises(MemoryDamagedError):
        Memory.restored(json.dumps(header).encode() + b"\n" + BODY, ALPHABET)


# -- what is left behind -----------------------------------------------------------------------


def in_process(memory: Memory, i: int, n_bytes: int) -> bytes:
    """What stands where memory.c has its array `i`, whether that is in use or not."""
    where = library.memory_array(memory.pointer, i, ctypes.byref(ctypes.c_uint64()))
    return ctypes.string_at(where, n_bytes)


@pytest.mark.parametrize("n_letters", [60, 3_000, 60_000])
def test_forgotten_text_is_overwritten(n_letters: int) -> None:
    """In the text and in what is kept of places in it, though the arrays stay as large."""
    memory = Memory(ALPHABET)
    secret = ALPHABET.encode("Quatermole")
    text = ALPHABET.encode("Quatermole and Xylobron. " * (n_letters // 25))
    for number in range(4):
        memory.learn(str(number), text[number:])
        memory.learn("kept", ALPHABET.encode("Something else. " * 1_000))
    n_text, n_segments = 2 * len(text) * 4, 4 * 100
    for number in range(4):
        memory.forget(str(number))
    assert secret.tobytes() not in in_process(memory, 6, n_text)
    assert secret.tobytes() not in in_process(memory, 10, n_segments)


def test_symbols_that_nobody_uses_any_more_are_overwritten() -> None:
    """Not before the last one who has a part of them is gone."""
    there = ctypes.create_string_buffer(8)
    part = overwritten(np.frombuffer(there, np.uint16))
    part[:] = 7
    part = part[1:2]
    assert part[0] == 7
    del part
    assert not any(there.raw)


def test_a_place_leaves_nothing_behind() -> None:
    """It holds the last symbols of a text."""
    memory, place = Memory(ALPHABET), Place()
    place.observe(memory, 120)
    raw = place._bytes
    del place
    assert not any(raw.raw)


def test_which_documents_hold_a_text() -> None:
    """Whole symbols, and in one go."""
    memory = Memory(ALPHABET)
    memory.learn("a", ALPHABET.encode("one two"))
    memory.learn("b", ALPHABET.encode("two three"))
    assert memory.holding(ALPHABET.encode("two")) == {"a", "b"}
    assert memory.holding(ALPHABET.encode("e two")) == {"a"}
    assert memory.holding(ALPHABET.encode("twothree")) == set()
    assert memory.holding(np.array([0x6E00], np.uint16)) == set()  # half an o, half an n
