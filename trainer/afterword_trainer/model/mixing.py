"""The network and the memory as one: a weighted product of what each expects, learned online.

In the logit domain (Mahoney 2005, PAQ; product of experts, Hinton 2002): log p is the sum of
weight times log p of each expert, where the weights depend on how long the context is that the
memory knows, how sure each expert is, where in a word we are, and how much has been learned. They
follow the gradient after every symbol; a last step corrects the top symbol by how often such a
one came true (secondary estimation).

A word of one's own is known to the memory as soon as it was written once, while the network goes on
expecting another, and is sure of it. So the weights also depend on how many bits the letters of
the word at hand have cost the network, and on whether the memory knows all of them and has seen
one way alone to go on. Such a context is right far more often than its count says (Cleary and
Teahan 1997), and what was used lately comes again far more often than a general model expects (Kuhn
and De Mori 1990). Knows predictors; knows neither documents nor files.
"""

from functools import cache
from importlib.resources import files
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from afterword_trainer.model.alphabet import DOCUMENT, TEXT
from afterword_trainer.model.memory import Memory, Place, constant, library
from afterword_trainer.model.predictor import Distribution, Predictor


class Network(Predictor, Protocol):
    """A predictor that can be asked before the softmax."""

    def logits(self) -> NDArray[np.float32]:
        """Of the next symbol, (n_symbols,); valid until the next `observe`."""

    def fork(self) -> "Network":
        """A copy that goes on from here."""


class Mixer:
    """How far each expert is believed, in some thousands of numbers; no text can be read off them.

    Belongs to one user as a model does: it is learned while they type.
    """

    def __init__(self, values: NDArray[np.float32] | None = None, *, alone: bool = False) -> None:
        """From `values` of an earlier one, else untaught; `alone` for a memory with no network.

        Raises ValueError for values that are not those of a mixer: too many, or no number, or a
        share of more than all.
        """
        if values is None:
            self.values = np.zeros(_N_VALUES, np.float32)
            library.mixer_begin(self.values.ctypes.data, not alone)
        else:
            if values.shape != (_N_VALUES,):
                raise ValueError(f"a mixer has {_N_VALUES} numbers, not {values.shape}")
            self.values = np.array(values, np.float32)  # a copy
            if not library.mixer_sound(self.values.ctypes.data):
                raise ValueError("what is no number, or too large, is in no mixer: make a new one")
        self.pointer = self.values.ctypes.data

    @classmethod
    def default(cls, *, alone: bool = False) -> "Mixer":
        """The one that is shipped: taught on text of others, from an empty memory to a full one."""
        return cls(_taught("alone" if alone else "mixed"), alone=alone)

    def copy(self) -> "Mixer":
        """One that learns on its own from here."""
        return Mixer(self.values)


class Mix:
    """A `Predictor` by a network, a memory and a mixer; by the memory alone without a network.

    While `learning`, each symbol of text is in the memory, and in the mixer, as soon as it is
    observed: what was typed a moment ago is expected at once. Headers are read, never learned.
    With an empty memory the answer is the network's own.
    """

    __slots__ = (
        *("_distribution", "_in_header", "_key", "_memory", "_mixer", "_network", "_place"),
        *("_surprise", "_trace", "learning"),
    )

    def __init__(
        self,
        network: Network | None,
        memory: Memory,
        mixer: Mixer,
        *,
        learning: bool,
        key: str = "",  # of the document in the memory that what is typed goes to
    ) -> None:
        self.learning = learning
        self._network = network
        self._memory = memory
        self._mixer = mixer
        self._key = key
        self._place = Place()
        self._surprise = 0.0
        self._in_header = False
        self._distribution: Distribution | None = None
        self._trace = Trace()

    def observe(self, symbol: int) -> None:
        """Take one more symbol into account, and learn from it."""
        if symbol == DOCUMENT:
            self._in_header = True
        elif symbol == TEXT and self._in_header:
            self._in_header = False
            self._place, self._surprise = Place(), 0.0
        elif not self._in_header:
            self._observe_text(symbol)
            self._surprise = self._surprise_by(symbol)
        if self._network:
            self._network.observe(symbol)
        self._distribution = None

    def distribution(self) -> Distribution:
        """Probabilities of the next symbol, (n_symbols,)."""
        if self._distribution is None:
            self._distribution = self._predict()
        return self._distribution

    def fork(self) -> "Mix":
        """A copy for looking ahead, which learns nothing.

        It shares memory and mixer, so it holds until the original, if that learns, observes again.
        """
        return self.over(self._network.fork() if self._network else None)

    def over(self, network: Network | None) -> "Mix":
        """A fork that asks another network, which has observed the same."""
        twin = Mix.__new__(Mix)
        twin.learning = False
        twin._network = network
        twin._memory, twin._mixer, twin._key = self._memory, self._mixer, self._key
        twin._place, twin._surprise = Place(self._place), self._surprise
        twin._in_header = self._in_header
        twin._distribution = self._distribution
        twin._trace = _SCRATCH
        return twin

    @property
    def surprise(self) -> float:
        """Bits that the letters of the word at hand have cost the network; 0 outside of words."""
        return self._surprise

    @property
    def network(self) -> Network | None:
        """Where the network stands."""
        return self._network

    def learner(self, key: str) -> "Mix":
        """A fork that learns: what it observes is typed into the document `key`."""
        twin = self.fork()
        twin.learning = True
        twin._key = key
        return twin

    def _observe_text(self, symbol: int) -> None:
        if not self.learning:
            self._place.observe(self._memory, symbol)
            return
        if len(self._memory):
            self._predict()  # the mixer learns from what was expected, asked for or not
            n_symbols = self._memory.n_symbols
            library.learn(
                n_symbols, self._mixer.pointer, self._trace.pointer, symbol, *LEARNING_RATES
            )
        self._memory.type(self._key, self._place, symbol)

    def _surprise_by(self, symbol: int) -> float:
        if not self._network:
            return 0.0
        logits = np.ascontiguousarray(self._network.logits())  # before it observes the symbol
        return float(
            library.surprise(self._memory.pointer, logits.ctypes.data, self._surprise, symbol)
        )

    def _predict(self) -> Distribution:
        if self._network and (self._in_header or not len(self._memory)):
            return self._network.distribution()
        logits = np.ascontiguousarray(self._network.logits()) if self._network else None
        p = np.empty(self._memory.n_symbols, np.float32)
        library.predict(
            self._memory.pointer,
            self._place.pointer,
            self._mixer.pointer,
            None if logits is None else logits.ctypes.data,
            self._surprise,
            self._trace.pointer,
            p.ctypes.data,
        )
        return p


# Steps of the weights, and of the averages, after each symbol. Of the weights', a third lost 0.003
# bits and three times as much 0.01; averages over fewer symbols lost as much.
LEARNING_RATES = (5e-4, 0.02)


_N_VALUES = constant("mixer_bytes") // 4


class Trace:
    """Working space of one prediction, and what learning from it needs."""

    __slots__ = ("_bytes", "pointer")

    def __init__(self) -> None:
        self._bytes = np.zeros(constant("trace_bytes"), np.uint8)
        self.pointer = self._bytes.ctypes.data


_SCRATCH = Trace()  # for forks: nothing of it is needed from one call to the next


@cache
def _taught(name: str) -> NDArray[np.float32] | None:
    """What is shipped, taught as by benchmarks/mixer.py; None where it is of another version."""
    file = files(__package__).joinpath(f"mixer-{name}.f32")
    if not file.is_file():
        return None
    values = np.frombuffer(file.read_bytes(), "<f4")
    return values if values.shape == (_N_VALUES,) else None
