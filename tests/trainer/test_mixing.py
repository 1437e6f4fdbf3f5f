"""The mix of network and memory: a predictor like any other, that learns while one types."""

import numpy as np
import pytest
from afterword_trainer import base
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.memory import Memory
from afterword_trainer.model.mixing import Mix, Mixer
from afterword_trainer.model.predictor import prime
from afterword_trainer.model.spec import NetworkSpec
from afterword_trainer.model.step import NetworkPredictor, NumpyStep, open_predictor
from afterword_trainer.model.suggestion import Rollout
from afterword_trainer.paths import Paths
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

ALPHABET = Alphabet("é")
SPEC = NetworkSpec(n_symbols=ALPHABET.size, layers=1, units=8, embedding=4)
TEXT = "the heron stood in the reeds, and the heron flew. "


def weights() -> dict[str, NDArray[np.float32]]:
    """By chance, so that a network is surer of some symbols than of others."""
    draw = np.random.default_rng(0)
    return {
        name: draw.normal(0, 1, shape).astype(np.float32)
        for name, shape in SPEC.weight_shapes().items()
    }


def network() -> NetworkPredictor:
    """A small one."""
    return NetworkPredictor(NumpyStep(SPEC, weights()))


def mix(memory: Memory, *, learning: bool, mixer: Mixer | None = None) -> Mix:
    """Of the network above and `memory`."""
    return Mix(network(), memory, mixer or Mixer(), learning=learning)


def memory_of(text: str) -> Memory:
    """What was learned of one document."""
    memory = Memory(ALPHABET)
    memory.learn("note", ALPHABET.encode(text))
    return memory


@given(text=st.text(max_size=30))
@settings(max_examples=30)
def test_with_an_empty_memory_it_is_the_network(text: str) -> None:
    """Number for number."""
    alone, both = network(), mix(Memory(ALPHABET), learning=False)
    prime(alone, ALPHABET.encode(text))
    prime(both, ALPHABET.encode(text))

    np.testing.assert_array_equal(alone.distribution(), both.distribution())


@given(text=st.text(max_size=60), learning=st.booleans())
@settings(max_examples=60)
def test_it_is_a_distribution(text: str, learning: bool) -> None:
    """After any text: positive, finite, one in all."""
    both = mix(memory_of(TEXT), learning=learning)
    for symbol in ALPHABET.encode(text).tolist():
        p = both.distribution()
        assert np.isfinite(p).all()
        assert (p > 0).all()
        assert pytest.approx(1.0, abs=1e-4) == float(p.sum())
        both.observe(symbol)


def test_asking_changes_nothing() -> None:
    """Whether the distribution is looked at or not, what is learned is the same."""
    asked, unasked = mix(memory_of(TEXT), learning=True), mix(memory_of(TEXT), learning=True)
    for symbol in ALPHABET.encode(TEXT).tolist():
        asked.distribution()
        asked.fork().distribution()
        asked.observe(symbol)
        unasked.observe(symbol)

    np.testing.assert_array_equal(unasked.distribution(), asked.distribution())


def test_looking_ahead_moves_nothing() -> None:
    """Whatever a fork reads, the place in the text that it came from stays as it was."""
    both, alone = (mix(memory_of(TEXT), learning=False) for _ in range(2))
    for one in (both, alone):
        prime(one, ALPHABET.encode("In the marsh the her"))
    prime(both.fork(), ALPHABET.encode("on flew. the"))
    for one in (both, alone):
        prime(one, ALPHABET.encode("o"))

    np.testing.assert_array_equal(alone.distribution(), both.distribution())


def test_a_document_begins_anew() -> None:
    """What stood at the end of the one before is no context of it."""
    header = ALPHABET.header("note.md", "markdown", 0.0)
    both, alone = (Mix(None, memory_of(TEXT), Mixer(alone=True), learning=False) for _ in "ab")
    prime(both, ALPHABET.encode("the heron stood in the"))
    for one in (both, alone):
        prime(one, header)

    np.testing.assert_array_equal(alone.distribution(), both.distribution())


def test_what_was_typed_is_expected_at_once() -> None:
    """A name that was typed once is completed when it begins again."""
    both = mix(memory_of(TEXT), learning=True)
    prime(both, ALPHABET.encode("Yours, Wilhelmina. " + TEXT + "Yours, Wilh"))
    rest = ""
    ahead = both.fork()
    while len(rest) < 6:
        symbol = int(ahead.distribution().argmax())
        rest += chr(symbol)
        ahead.observe(symbol)

    assert rest == "elmina"


NOTE = """# The garden club

Met Ottoline Featherstonehame at the allotment on Tuesday. She would like to lend us the shed
behind Quillfordbury Lane until the spring, if somebody mends its roof.
"""


@pytest.mark.parametrize(
    ("typed", "rest"),
    [
        ("Please ask Ottoline Fe", "atherstonehame"),
        ("Please ask Ottoline Fea", "therstonehame"),
        ("A letter from Featherstoneh", "ame"),
        ("We meet behind Quil", "lfordbury Lane"),
        ("We meet behind Quillf", "ordbury Lane"),
    ],
)
def test_a_name_seen_once_is_finished(typed: str, rest: str) -> None:
    """With the base that ships, which is sure of another end; one note alone is in the memory."""
    bundle = base.load(Paths.from_environment({}).base)
    memory = Memory(bundle.alphabet)
    memory.learn("note", bundle.alphabet.encode(NOTE))
    both = Mix(open_predictor(bundle), memory, Mixer.default(), learning=False)
    header = bundle.alphabet.header("letter.md", "markdown", 0.0)
    prime(both, header, bundle.alphabet.encode(typed))
    rollout = Rollout(both)
    while len(rollout.symbols) < len(rest):
        rollout.grow()

    assert rest == bundle.alphabet.decode(rollout.symbols)


def test_what_was_seen_often_is_expected_though_the_network_expects_nothing() -> None:
    """Each symbol of it, and the first of a word, too."""
    nothing = {name: array / 8 for name, array in weights().items()}
    both = Mix(
        NetworkPredictor(NumpyStep(SPEC, nothing)),
        memory_of(NOTE * 20),
        Mixer.default(),
        learning=False,
    )
    prime(both, ALPHABET.encode(NOTE[:40]))
    for symbol in ALPHABET.encode(NOTE[40:]).tolist():
        assert both.distribution()[symbol] > 0.9
        both.observe(symbol)


def test_a_fork_learns_nothing() -> None:
    """What is imagined in looking ahead is neither remembered nor believed."""
    memory, mixer = memory_of(TEXT), Mixer()
    both = mix(memory, learning=True, mixer=mixer)
    prime(both, ALPHABET.encode("and the he"))
    size, values, expected = len(memory), mixer.values.copy(), both.distribution().copy()
    ahead = both.fork()
    assert not ahead.learning
    prime(ahead, ALPHABET.encode("ffalump " * 20))

    assert size == len(memory)
    np.testing.assert_array_equal(values, mixer.values)
    np.testing.assert_array_equal(expected, both.distribution())


def test_surprise_is_of_the_word_at_hand() -> None:
    """What its letters cost the network; whoever looks ahead goes on with it, and it ends there."""
    both, alone = mix(memory_of(TEXT), learning=False), network()
    cost = 0.0
    for symbol in ALPHABET.encode("a hér").tolist():
        cost -= float(np.log2(alone.distribution()[symbol]))
        if symbol == ord(" "):
            cost = 0.0
        alone.observe(symbol)
        both.observe(symbol)
        assert pytest.approx(cost, abs=1e-3) == both.surprise
    assert both.fork().surprise == both.surprise > 0
    both.observe(ord("-"))
    assert both.surprise == 0


def test_surprise_ends_with_the_document() -> None:
    """Another one begins in no word."""
    both = mix(memory_of(TEXT), learning=False)
    prime(both, ALPHABET.encode("heron"), ALPHABET.header("a.md", "markdown", 0.0))

    assert both.surprise == 0


def test_frozen_is_frozen() -> None:
    """Static: nothing but the place in the text moves."""
    memory, mixer = memory_of(TEXT), Mixer()
    both = mix(memory, learning=False, mixer=mixer)
    values = mixer.values.copy()
    prime(both, ALPHABET.encode(TEXT * 3))

    assert len(TEXT) == len(memory)
    np.testing.assert_array_equal(values, mixer.values)


def test_headers_are_read_and_not_learned() -> None:
    """The network reads path and language; in the memory they would be text that nobody wrote."""
    memory = memory_of(TEXT)
    both = mix(memory, learning=True)
    header = ALPHABET.header("notes/heron.md", "markdown", 1_700_000_000.0)
    prime(both, header, ALPHABET.encode("the h"))
    alone = network()
    prime(alone, header)

    assert len(TEXT) + len("the h") == len(memory)
    inside = mix(memory, learning=True)
    prime(inside, header[:-1])
    alone = network()
    prime(alone, header[:-1])
    np.testing.assert_array_equal(alone.distribution(), inside.distribution())


def test_the_mixer_learns_whom_to_believe() -> None:
    """A network by chance is worth nothing: text that repeats costs less and less."""
    both = mix(Memory(ALPHABET), learning=True)
    bits = []
    for _ in range(20):
        total = 0.0
        for symbol in ALPHABET.encode(TEXT).tolist():
            total -= float(np.log2(both.distribution()[symbol]))
            both.observe(symbol)
        bits.append(total / len(TEXT))

    assert bits[0] > 3
    assert bits[-1] < 0.15


def test_the_shipped_mixers_are_of_this_version() -> None:
    """A change of memory.c asks for benchmarks/mixer.py --write."""
    for alone in (False, True):
        assert not np.array_equal(Mixer(alone=alone).values, Mixer.default(alone=alone).values)


EVIL = {
    "too few": np.zeros(3, np.float32),
    "two dimensions": Mixer().values[None],
    **{str(value): np.full(Mixer().values.shape, value, np.float32) for value in (0.0, 1.0, 1e38)},
}


@pytest.mark.parametrize("values", EVIL.values(), ids=EVIL)
def test_other_numbers_are_no_mixer(values: NDArray[np.float32]) -> None:
    """A damaged mixer is refused rather than believed."""
    with pytest.raises(ValueError, match="mixer"):
        Mixer(values)


@given(at=st.integers(0, len(Mixer().values) - 1), data=st.data())
@settings(max_examples=60)
def test_one_number_may_not_spoil_the_distribution(at: int, data: st.DataObject) -> None:
    """Whatever one of them was damaged to: refused, or what comes of it is a distribution."""
    values = Mixer.default().values.copy()
    values[at] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e38, -1e38, 900, -1, 0, 1]))
    try:
        mixer = Mixer(values)
    except ValueError:
        return
    both = mix(memory_of(TEXT), learning=True, mixer=mixer)
    prime(both, ALPHABET.encode(TEXT))

    assert np.isfinite(mixer.values).all()
    assert (both.distribution() >= 0).all()
    assert pytest.approx(1.0, abs=1e-4) == float(both.distribution().sum())


N_TRUTHS = 20 * 33  # the last numbers of a mixer, which are shares and no weights


def test_what_is_sure_is_still_a_distribution() -> None:
    """Of a sure symbol's complement little is left but rounding; with many symbols it shows."""
    alphabet = Alphabet("".join(chr(0x4E00 + i) for i in range(1700)))
    memory = Memory(alphabet)
    memory.learn("note", alphabet.encode("a" * 4000))
    for weight in (2.0, 5.0, 100.0):
        values = Mixer(alone=True).values
        values[:-N_TRUTHS][values[:-N_TRUTHS] == 0.5] = weight
        mixer = Mixer(values)
        both = Mix(None, memory, mixer, learning=False)
        prime(both, alphabet.encode("a" * 40))

        assert pytest.approx(1.0, abs=1e-4) == float(both.distribution().sum()), weight


def test_a_network_that_says_no_numbers_is_not_asked() -> None:
    """The memory answers alone, and the mixer is not spoilt by it."""

    class Broken(NetworkPredictor):
        """Not a number, for every symbol."""

        def logits(self) -> NDArray[np.float32]:
            return np.full(ALPHABET.size, np.nan, np.float32)

    memory, mixer = memory_of(TEXT), Mixer.default()
    both = Mix(Broken(NumpyStep(SPEC, weights())), memory, mixer, learning=True)
    prime(both, ALPHABET.encode(TEXT))

    assert pytest.approx(1.0, abs=1e-4) == float(both.distribution().sum())
    assert np.isfinite(mixer.values).all()


@pytest.mark.parametrize("symbol", [-1, ALPHABET.size, 8192, 65_535, 1 << 20])
def test_a_symbol_of_no_alphabet_is_refused_when_typed(symbol: int) -> None:
    """Before it is learned; what was learned is left as it was."""
    memory, mixer = memory_of(TEXT), Mixer()
    both = Mix(None, memory, mixer, learning=True)
    with pytest.raises(ValueError, match="not among"):
        both.observe(symbol)

    assert len(TEXT) == len(memory)
    assert np.isfinite(mixer.values).all()
