"""The seam: what the LSTM, the memory, an n-gram and their mix have in common."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Symbols = NDArray[np.uint16]  # ids of an Alphabet, (n,)
Distribution = NDArray[np.float32]  # probabilities of the next symbol, (n_symbols,), summing to 1


class Predictor(Protocol):
    """A model of what comes next, fed one symbol at a time."""

    def observe(self, symbol: int) -> None:
        """Take one more symbol of text into account."""

    def distribution(self) -> Distribution:
        """Probabilities of the next symbol, (n_symbols,); valid until the next `observe`."""

    def fork(self) -> "Predictor":
        """An independent copy that goes on from here; the original is left as it is."""


def prime(predictor: Predictor, *texts: Symbols) -> None:
    """Let `predictor` observe a header, and what stands before the cursor."""
    for symbols in texts:
        for symbol in symbols.tolist():
            predictor.observe(symbol)
