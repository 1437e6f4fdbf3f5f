"""What a network is: the few numbers from which it is built, stored in every bundle.

Knows names and shapes of the weights; knows neither Keras nor files.
"""

from dataclasses import dataclass
from typing import Literal, get_args

Cell = Literal["lstm", "gru", "rnn"]
CELLS: tuple[Cell, ...] = get_args(Cell)

# Columns of a kernel per unit: LSTM input, forget, candidate, output; GRU update, reset, candidate.
N_GATES: dict[Cell, int] = {"lstm": 4, "gru": 3, "rnn": 1}
# Arrays of state per layer: LSTM hidden and cell; the others hidden alone.
N_STATES: dict[Cell, int] = {"lstm": 2, "gru": 1, "rnn": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """A character-level recurrent network: embedding, equal recurrent layers, softmax.

    `dropout` is the share of each layer's outputs dropped while training; serving ignores it.
    Raises ValueError for a spec that cannot be built.
    """

    n_symbols: int
    cell: Cell = "lstm"
    layers: int = 2
    units: int = 512
    embedding: int = 128
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.cell not in CELLS:
            raise ValueError(f"cell {self.cell!r} is unknown; use one of {', '.join(CELLS)}")
        for name, low, high in (
            ("n_symbols", 2, 65_536),
            ("layers", 1, 8),
            ("units", 1, 8_192),
            ("embedding", 1, 8_192),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} {getattr(self, name)} is not within {low} to {high}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout {self.dropout} is not within 0 and 1")

    def __str__(self) -> str:
        """The shape as people read it: "LSTM 2 × 512"."""
        return f"{self.cell.upper()} {self.layers} × {self.units}"

    def state_shape(self, n_streams: int) -> tuple[int, int, int]:
        """Shape of the whole recurrent state: (layers * states per layer, streams, units).

        Layer 0 comes first; within an LSTM layer the hidden state precedes the cell state.
        """
        return (self.layers * N_STATES[self.cell], n_streams, self.units)

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every weight, in Keras's own layout, in a fixed order."""
        columns = N_GATES[self.cell] * self.units
        shapes: dict[str, tuple[int, ...]] = {"embedding": (self.n_symbols, self.embedding)}
        n_inputs = self.embedding
        for layer in range(self.layers):
            shapes[f"layer{layer}.kernel"] = (n_inputs, columns)
            shapes[f"layer{layer}.recurrent"] = (self.units, columns)
            # A GRU whose reset gate acts after the matrix product has two biases (Keras default).
            shapes[f"layer{layer}.bias"] = (2, columns) if self.cell == "gru" else (columns,)
            n_inputs = self.units
        shapes["output.kernel"] = (self.units, self.n_symbols)
        shapes["output.bias"] = (self.n_symbols,)
        return shapes

    def n_parameters(self) -> int:
        """Number of trained scalars."""
        total = 0
        for shape in self.weight_shapes().values():
            size = 1
            for n in shape:
                size *= n
            total += size
        return total
