"""From the weights of one model to those of the next: more symbols, and a way part of it back.

Knows names and shapes of weights; knows neither Keras nor files.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterword_trainer.model.alphabet import Alphabet

Weights = Mapping[str, NDArray[Any]]

# A new character takes this share of what its first byte is given: as if a first byte were followed
# by each of the 64 others alike.
SHARE_OF_BYTE = 1 / 64


def grown(weights: Weights, old: Alphabet, new: Alphabet) -> dict[str, NDArray[Any]]:
    """The weights for alphabet `new`, which begins with `old`, of a network made for `old`.

    A new character is expected where its first UTF-8 byte was, `SHARE_OF_BYTE` as much, so the old
    symbols keep their proportions and lose next to nothing. What it tells the network when it has
    been read is the mean of what its bytes told it. Raises ValueError if a symbol would change.
    """
    if not new.characters.startswith(old.characters):
        raise ValueError("an alphabet grows at its end, or the old symbols would change")
    bytes_of = [
        list(character.encode("utf-8", "surrogatepass"))
        for character in new.characters[len(old.characters) :]
    ]
    first = np.array([spelled[0] for spelled in bytes_of], np.int64)
    embedding, kernel, bias = (
        weights[name] for name in ("embedding", "output.kernel", "output.bias")
    )
    means = [embedding[spelled].mean(0, keepdims=True) for spelled in bytes_of]
    return {
        **weights,
        "embedding": np.concatenate([embedding, *means]),
        "output.kernel": np.concatenate([kernel, kernel[:, first]], 1),
        "output.bias": np.concatenate([bias, bias[first] + np.float32(np.log(SHARE_OF_BYTE))]),
    }


def blended(weights: Weights, start: Weights, share: float) -> dict[str, NDArray[Any]]:
    """`share` of the way from `weights` back to `start` (WiSE-FT; Wortsman et al. 2022)."""
    return {
        name: ((1 - share) * weight + share * start[name]).astype(weight.dtype)
        for name, weight in weights.items()
    }
