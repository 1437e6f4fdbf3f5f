"""The memory: documents in, documents out exactly, bytes bounded, stored and restored."""

from pathlib import Path

import numpy as np
import pytest
from afterword_trainer import remembering
from afterword_trainer.baselines import ppmd_bits
from afterword_trainer.evaluation import bits_per_character
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.memory import FEWEST_BYTES, Memory, MemoryDamagedError
from afterword_trainer.model.mixing import Mix, Mixer
from afterword_trainer.model.predictor import Distribution
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


@settings(max_examples=60, deadline=None)
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


@settings(max_examples=60, deadline=None)
@given(text=TEXTS, prompt=TEXTS)
def test_learning_again_replaces(text: str, prompt: str) -> None:
    """A saved file takes the place of what it was before."""
    memory = memory_of(note="an older version " * 3)
    memory.learn("note", ALPHABET.encode(text))

    np.testing.assert_array_equal(expected(memory_of(note=text), prompt), expected(memory, prompt))


@settings(max_examples=60, deadline=None)
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
    memory.learn("last", ALPHABET.encode("thank you for the marmalade"))

    assert "0" not in memory.documents()
    assert memory.documents()[-1] == "last"
    assert memory.n_bytes <= FEWEST_BYTES
    assert ord("m") == int(expected(memory, "thank you for the mar").argmax())


@settings(max_examples=20, deadline=None)
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
    remembering.save(path, memory, mixer)
    data = path.read_bytes()
    found = remembering.load(path, ALPHABET)
    assert found is not None
    np.testing.assert_array_equal(expected(memory, "the c"), expected(found[0], "the c"))
    np.testing.assert_array_equal(mixer.values, found[1].values)

    assert remembering.load(tmp_path / "none", ALPHABET) is None
    assert remembering.load(path, Alphabet("äß")) is None
    for at in (0, 20, 30, 3_000, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert remembering.load(path, ALPHABET) is None, at
        path.write_bytes(data[:at])
        assert remembering.load(path, ALPHABET) is None, at


@pytest.mark.parametrize("data", [b"", b"{}\n", b"[1]\n", b"\xff\n", b'{"version": 1}\n'])
def test_what_is_no_memory_is_refused(data: bytes) -> None:
    """Clear errors for what never was one."""
    with pytest.raises(MemoryDamagedError):
        Memory.restored(data, ALPHABET)


def test_symbols_of_another_alphabet_are_refused() -> None:
    """The loops trust their input, so it is looked at before."""
    with pytest.raises(ValueError, match="symbol 300 is not among 261"):
        Memory(ALPHABET).learn("note", np.array([65, 300], np.uint16))
    with pytest.raises(ValueError, match="at_most_bytes 5"):
        Memory(ALPHABET, at_most_bytes=5)
