"""Continuations drawn at a temperature: again the same ones while their own characters are typed.

A symbol is drawn by adding noise to the logits and taking the highest (Gumbel 1954; the draw is
then distributed as the softmax says). The noise follows from seed, path, position in the text and
symbol alone, so what is drawn for a position stays the same from one key to the next. Several
paths are stepped as one batch. Knows predictors; knows neither documents nor suggestions.
"""

from collections.abc import Sequence

import numpy as np
from afterword_trainer.model.mixing import Mix, Network
from afterword_trainer.model.predictor import Distribution
from afterword_trainer.model.step import Logits, NetworkPredictor, State, Step
from afterword_trainer.model.suggestion import Rollout
from numpy.typing import NDArray


class Drawn(Rollout):
    """A continuation drawn at a temperature, one symbol at a time; 0 takes the likeliest."""

    __slots__ = ("_kept", "_path", "_position", "_seed", "_temperature")

    def __init__(
        self,
        predictor: Mix,
        *,
        position: int,
        seed: int,
        temperature: float,
        path: int = 1,
        kept: Sequence[int] = (),
    ) -> None:
        """`position`: how many symbols stand before it; `path`: which of several draws this is.

        `kept` are symbols that it begins with in any case, for they were drawn before.
        """
        super().__init__(predictor)
        self._kept = kept
        self._position = position
        self._seed = seed
        self._temperature = temperature
        self._path = path

    def grow(self) -> None:
        """Draw one more symbol: one step of the network."""
        if self.symbols:
            self._predictor.observe(self.symbols[-1])
        self._draw()

    def follow(self, symbol: int) -> bool:
        """Move past a symbol that was typed; False, and of no more use, if a new one is needed."""
        followed = super().follow(symbol)
        self._position += followed
        self._kept = self._kept[1:]
        return followed

    def _draw(self) -> None:
        distribution = self._predictor.distribution()
        position = self._position + len(self.symbols)
        if len(self.symbols) < len(self._kept):
            drawn = self._kept[len(self.symbols)]
        else:
            drawn = draw(distribution, self._temperature, self._seed, self._path, position)
        self.symbols.append(drawn)
        self.probabilities.append(float(distribution[drawn]))


def draw(
    distribution: Distribution, temperature: float, seed: int, path: int, position: int
) -> int:
    """The symbol at `position` of a path, from (n_symbols,) probabilities."""
    if temperature == 0:
        return int(distribution.argmax())
    with np.errstate(divide="ignore"):  # what is impossible stays so
        logits = np.log(distribution) / np.float32(temperature)
    return int((logits + _noise(seed, path, position, len(distribution))).argmax())


def draw_together(
    predictor: Mix,
    network: NetworkPredictor,
    step: Step,
    *,
    position: int,
    seed: int,
    temperature: float,
    kept: Sequence[int] = (),
) -> list[Rollout]:
    """The likeliest continuation and others drawn, (step.n_streams,): growing one grows all.

    The first of those drawn begins with what was `kept`.
    `network` is the one that `predictor` asks, at the same place; `step` is of the same model.
    """
    return _Batch(predictor, network, step, position, seed, temperature, kept).paths


class _Batch:
    """Paths that go on together, one step of the network for all."""

    def __init__(
        self,
        predictor: Mix,
        network: NetworkPredictor,
        step: Step,
        position: int,
        seed: int,
        temperature: float,
        kept: Sequence[int],
    ) -> None:
        n = step.n_streams
        self._step = step
        # A state is (layers and parts, streams, units).
        self._state: State = np.repeat(network.state, n, axis=1)
        self.logits: Logits = np.repeat(network.logits()[np.newaxis], n, axis=0)
        self.symbols = np.zeros(n, np.int32)  # that each path takes next
        self._lanes = [
            _Lane(
                predictor.over(_LaneNetwork(self, i)),
                self,
                position=position,
                seed=seed,
                temperature=temperature if i else 0.0,
                path=i,
                kept=kept if i == 1 else (),
            )
            for i in range(n)
        ]

    @property
    def paths(self) -> list[Rollout]:
        return [*self._lanes]

    def grow(self) -> None:
        if self._lanes[0].symbols:
            for lane in self._lanes:
                lane.take_last()
            self.logits, self._state = self._step(self.symbols, self._state)
        for lane in self._lanes:
            lane.draw_next()


class _Lane(Drawn):
    """One path of a batch."""

    __slots__ = ("_batch",)

    def __init__(
        self,
        predictor: Mix,
        batch: _Batch,
        *,
        position: int,
        seed: int,
        temperature: float,
        path: int,
        kept: Sequence[int],
    ) -> None:
        super().__init__(
            predictor,
            position=position,
            seed=seed,
            temperature=temperature,
            path=path,
            kept=kept,
        )
        self._batch = batch

    def grow(self) -> None:
        self._batch.grow()

    def take_last(self) -> None:
        self._predictor.observe(self.symbols[-1])

    def draw_next(self) -> None:
        self._draw()


class _LaneNetwork:
    """One stream of the batch as a network: what it observes waits for the common step."""

    learning = False

    def __init__(self, batch: _Batch, lane: int) -> None:
        self._batch = batch
        self._lane = lane

    def observe(self, symbol: int) -> None:
        self._batch.symbols[self._lane] = symbol

    def logits(self) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self._batch.logits[self._lane]
        return logits

    def distribution(self) -> Distribution:
        logits = self.logits()
        powers = np.exp(logits - logits.max())
        distribution: Distribution = powers / powers.sum()
        return distribution

    def fork(self) -> Network:
        return self  # a lane has one rollout, and that is the one


def _noise(seed: int, path: int, position: int, n: int) -> NDArray[np.float32]:
    """Gumbel noise for each of `n` symbols."""
    # A counter-based generator (Philox; Salmon et al. 2011), whose output numpy never changes.
    raw = np.random.Philox(key=[seed % 2**64, path << 32 | position]).random_raw(n)
    uniform = ((raw >> 41).astype(np.float32) + 0.5) / 2**23  # within 0 to 1, never either
    return np.asarray(-np.log(-np.log(uniform)), np.float32)
