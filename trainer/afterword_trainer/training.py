"""The training loop: stateful truncated back-propagation through time over parallel streams.

The corpus is one long sequence of symbols, cut into as many streams as a batch has rows; each
window continues where the one before ended, its state carried over, and every position is
predicted (Williams & Peng 1990; many-to-many). Knows symbols, networks and clocks; knows
nothing of documents, bundles or terminals. What happens is told in records.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import psutil
import tensorflow as tf
from numpy.typing import NDArray

from afterword_trainer import records, tuning
from afterword_trainer.network import CharacterNetwork, Tensor
from afterword_trainer.stream import SymbolFile

LN2 = math.log(2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train. The defaults were found on texts of half a megabyte to three megabytes."""

    seconds: float | None = None  # wall time; the schedule is laid out for it
    epochs: float | None = None  # passes over the text; exactly reproducible, unlike seconds
    streams: int = 64  # rows of a batch: more are faster a symbol and learn less from each
    window: int = 32  # symbols between two updates: how far back a gradient reaches
    peak_rate: float = 4e-3  # twice as much never left the plateau of letter frequencies
    final_rate: float = 1e-5  # nothing left to lose; lower changes no digit
    warm_up: float = 0.03  # share of the plan; longer wastes time, none risks the plateau
    weight_decay: float = 0.01  # Keras's habit; raise it for text that is read dozens of times
    pull: float = 0.0  # the same towards the weights that training starts from; see `Start`
    clip_norm: float = 1.0  # gradients are under it but for the first updates and rare shocks
    dropout: float | None = None  # None: from the number of passes, `dropout_for`
    patience: float = 0.3  # share of the plan without improvement after which training stops
    look_every: float = 0.05  # share of the plan between two looks at the held-out text
    heldout_symbols: int = 65_536  # of that text, looked at each time: a second or two
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.seconds is None) == (self.epochs is None):
            raise ValueError("a recipe states either seconds or epochs")


@dataclass(slots=True)
class Progress:
    """How far a run has come; together with the arrays of `Training.arrays` it is a checkpoint."""

    steps: int = 0
    symbols: int = 0
    seconds: float = 0.0
    share: float = 0.0  # of the plan
    train_bits: float = 0.0  # bits per symbol, running average
    best_bits: float = math.inf  # bits per symbol of held-out text
    best_share: float = 0.0
    looks: int = 0  # at the held-out text
    looks_since_best: int = 0
    restarts: int = 0  # after a loss that was no number; each halves the rate
    dropout: float | None = None
    start_test_bits: float | None = None  # bits per symbol of `Start.test`, before the first step


Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Start:
    """A model to start from that knows something worth keeping.

    Fine-tuning forgets. Two things hold it back: each update pulls the weights a little towards
    those of the start (L2-SP; Li et al. 2018), and at the end they go as far back towards them as
    held-out text allows (WiSE-FT; Wortsman et al. 2022).
    """

    weights: Arrays  # of the network's own names and shapes
    test: SymbolFile | None = None  # text that tells how much of what it knew is kept


class Training:
    """One run: a network on its way from a start to the best that the plan allows."""

    def __init__(
        self,
        network: CharacterNetwork,
        learn: SymbolFile,
        heldout: SymbolFile,
        recipe: Recipe,
        *,
        n_cores: int,
        start: Start | None = None,
        deadline: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`deadline` on `clock` ends training whatever the plan says; times are in seconds.

        Without a `start`, training begins with the weights that `network` has.
        """
        if start:
            network.assign(start.weights)
        self.network = network
        self.recipe = recipe
        self.progress = Progress()
        self.best: Arrays = network.weights_by_name()
        self._learn = learn
        self._heldout = heldout
        self._clock = clock
        self._start = start
        self._deadline = deadline
        self._n_cores = n_cores
        self.streams, self.window = layout(learn.n_symbols, recipe, n_cores)
        self._rows = self._own_rows()
        n_rows = self._rows.stop - self._rows.start
        self._state = np.zeros(network.spec.state_shape(n_rows), np.float32)
        # AdamW, where the pull towards a start does not take the place of the decay.
        self._optimiser = keras.optimizers.Adam(
            recipe.peak_rate,
            weight_decay=None if start else recipe.weight_decay,
            beta_2=0.99,  # a few hundred steps are too few for an average over a thousand
            epsilon=1e-8,
        )
        # Decay pulls towards small weights, which suits matrices; an embedding row of a rare
        # symbol and a bias would only be forgotten.
        self._optimiser.exclude_from_weight_decay(var_names=["embedding", "bias"])
        self._optimiser.build(network.trainable_variables)
        self._train_step = tf.function(
            self._one_step,
            autograph=False,  # the loops over time and parts are meant to be unrolled
            input_signature=[
                tf.TensorSpec((self.window + 1, n_rows), tf.int32),
                tf.TensorSpec(self._state.shape, tf.float32),
                tf.TensorSpec((), tf.float32),
                tf.TensorSpec((), tf.float32),
                tf.TensorSpec((2,), tf.int32),
            ],
        )
        self._measure_step = tf.function(self._nats, autograph=False)

    # -- the main path ---------------------------------------------------------------------

    def train(
        self,
        *,
        interrupted: Callable[[], bool],
        save: Callable[[], None],
        sample: Callable[[], tuple[str, str]],
    ) -> Iterator[records.Record]:
        """Train to the end of the plan, telling what happens; ends with `Finished`.

        Args:
            interrupted: asked after each step; once true, training ends with what it has.
            save: called when a checkpoint is worth its writing.
            sample: (prompt, continuation) by the weights as they are, for the eye.

        Raises:
            records.TrainingError: the loss is not a number, twice.
        """
        recipe, progress = self.recipe, self.progress
        leg = _Leg(self._clock() - progress.seconds, progress.seconds, progress.share)
        next_look = self._next_look(0.0)
        last_told, symbols_told, step_seconds = self._clock(), progress.symbols, 0.0
        reason = "planned"
        if self._start and not progress.steps:
            # What was there before, of which only better is kept; nothing was learned from yet.
            first = self._evaluated(*sample())
            yield replace(first, train_bits=first.heldout_bits)
            if self._start.test:
                progress.start_test_bits = self._bits(self._start.test)

        while progress.share < 1.0:
            # 1) the window, the rate and the dropout of this step
            step_began = self._clock()
            if progress.dropout is None:
                progress.dropout = self._choose_dropout(leg, step_seconds)
            rate = learning_rate(progress.share, recipe) / 2**progress.restarts
            window = self._window(progress.steps)

            # 2) one update
            loss, norm, state = self._train_step(
                window, self._state, rate, progress.dropout or 0.0, [recipe.seed, progress.steps]
            )
            if not np.isfinite([loss, norm]).all():
                yield self._recover(float(loss), float(norm))
                continue
            self._state = np.asarray(state)

            # 3) where are we, and how long does a step take
            now = self._clock()
            step_seconds = now - step_began
            self._advance(float(loss) / LN2, now - leg.began)
            progress.share = leg.share_of(recipe, progress.seconds, self._epoch())
            if self._deadline is not None and now + step_seconds / 2 > self._deadline:
                progress.share = 1.0

            # 4) say so, a few times a second at most
            if now - last_told >= TELL_EVERY_S:
                yield self._stepped(leg, (progress.symbols - symbols_told) / (now - last_told))
                last_told, symbols_told = now, progress.symbols

            # 5) look at the held-out text, keep the best, save
            stop = interrupted()
            if progress.share >= next_look or stop:
                yield self._evaluated(*sample())
                save()
                last_told, symbols_told = self._clock(), progress.symbols
                next_look = self._next_look(last_told - now)
            if stop:
                reason = "interrupted"
                break
            stale = progress.share - progress.best_share > recipe.patience
            if stale and progress.looks_since_best >= 3:
                reason = "early-stop"
                break

        if self._start:
            yield from self._settle(self._start)
        yield records.Finished(
            seconds=progress.seconds,
            reason=reason,
            epochs=self._epoch(),
            symbols=progress.symbols,
            heldout_bits=progress.best_bits,
            symbols_per_s=progress.symbols / max(progress.seconds, 1e-9),
        )

    def arrays(self) -> Arrays:
        """Everything that a checkpoint needs besides `progress`, by name."""
        arrays: Arrays = {f"weight/{k}": v for k, v in self.network.weights_by_name().items()}
        arrays |= {f"best/{name}": value for name, value in self.best.items()}
        for index, variable in enumerate(self._optimiser.variables):
            arrays[f"optimiser/{index}"] = np.asarray(variable.numpy())
        arrays["state"] = self._state
        return arrays

    def restore(self, arrays: Arrays, progress: Progress) -> None:
        """Go on from a checkpoint. Raises KeyError or ValueError if it belongs to another run."""
        names = list(self.best)
        self.network.assign({name: arrays[f"weight/{name}"] for name in names})
        self.best = {name: arrays[f"best/{name}"] for name in names}
        for index, variable in enumerate(self._optimiser.variables):
            variable.assign(arrays[f"optimiser/{index}"])
        if arrays["state"].shape == self._state.shape:
            self._state = arrays["state"]
        self.progress = replace(progress)

    # -- what several workers do in another way, see `workers` ----------------------------------

    def _own_rows(self) -> slice:
        """The streams that this process trains."""
        return slice(0, self.streams)

    def _averaged(self, loss: Tensor, gradients: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The same over all processes."""
        return loss, gradients

    # -- one step, as TensorFlow sees it ---------------------------------------------------

    def _one_step(
        self, window: Tensor, state: Tensor, rate: Tensor, dropout: Tensor, seed: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """window (time + 1, streams), state -> loss in nats, gradient norm, state."""
        variables = self.network.trainable_variables
        with tf.GradientTape() as tape:
            nats, after = self._nats(window, state, dropout, seed)
            loss = tf.reduce_mean(nats)
        loss, gradients = self._averaged(loss, tape.gradient(loss, variables))
        gradients, norm = tf.clip_by_global_norm(gradients, self.recipe.clip_norm)
        # A step that is not finite changes nothing; the loop decides what to do about it.
        sound = tf.math.is_finite(norm) & tf.math.is_finite(loss)
        if_sound = tf.cast(sound, tf.float32)
        self._optimiser.learning_rate.assign(rate * if_sound)
        safe = [tf.where(sound, g, tf.zeros_like(g)) for g in map(tf.convert_to_tensor, gradients)]
        self._optimiser.apply_gradients(zip(safe, variables, strict=True))
        if self._start and self.recipe.pull:
            back = rate * if_sound * self.recipe.pull
            for name, table in self.network.tables.items():
                table.assign_sub(back * (table - self._start.weights[name]))
        return loss, norm, after

    def _nats(
        self, window: Tensor, state: Tensor, dropout: Tensor = None, seed: Tensor = None
    ) -> tuple[Tensor, Tensor]:
        """window (time + 1, streams), state -> nats of each target (time, streams), state."""
        # One part of the batch for each core, side by side in one graph: see `use_cores`.
        streams = window.shape[1]
        n_parts = self._n_cores if streams % self._n_cores == 0 else 1
        nats, states = [], []
        for part in range(n_parts):
            rows = slice(part * streams // n_parts, (part + 1) * streams // n_parts)
            masks = None if seed is None else seed + 1000 * part
            logits, after = self.network(window[:-1, rows], state[:, rows], dropout, masks)
            targets = window[1:, rows]
            nats.append(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)
            )
            states.append(after)
        return tf.concat(nats, 1), tf.concat(states, 1)

    # -- parts of the main path ------------------------------------------------------------

    def _window(self, step: int) -> NDArray[np.int32]:
        """Symbols (time + 1, own streams) of a step; each pass starts at another offset."""
        per_pass = self._steps_per_pass()
        pass_index, at = divmod(step, per_pass)
        if at == 0:
            self._state = np.zeros_like(self._state)
        slack = self._learn.n_symbols - 1 - per_pass * self.window * self.streams
        # Another cut each time, so that no symbol always stands first in its window.
        shift = int(np.random.default_rng([self.recipe.seed, pass_index]).integers(slack + 1))
        length = per_pass * self.window
        streams = np.arange(self._rows.start, self._rows.stop)
        starts = shift + at * self.window + length * streams
        return self._learn.read(starts, self.window + 1).astype(np.int32).T

    def _steps_per_pass(self) -> int:
        return max(1, (self._learn.n_symbols - 1) // (self.streams * self.window))

    def _epoch(self) -> float:
        return self.progress.symbols / self._learn.n_symbols

    def _advance(self, bits: float, seconds: float) -> None:
        """Count a step that cost `bits` per symbol and ended `seconds` into the run."""
        progress = self.progress
        progress.steps += 1
        progress.symbols += self.streams * self.window
        progress.seconds = seconds
        # An average over the last fifty steps or so, and over all of them at the beginning.
        horizon = min(0.98, 1 - 1 / progress.steps)
        progress.train_bits = horizon * progress.train_bits + (1 - horizon) * bits

    def _next_look(self, look_seconds: float) -> float:
        """Share of the plan at which to look again, when the last look took `look_seconds`."""
        share, every = self.progress.share, self.recipe.look_every
        if self.recipe.seconds is None:
            # On a grid, so that a run that was resumed looks where it would have looked.
            return min(1.0, (math.floor(share / every + 1e-9) + 1) * every)
        if self.progress.looks <= 1:
            return min(1.0, share + every)  # the first look compiles, and tells nothing
        return min(1.0, share + max(every, look_seconds / self.recipe.seconds / LOOKING_SHARE))

    def _choose_dropout(self, leg: "_Leg", step_seconds: float) -> float | None:
        """None until the speed is known; the first step compiles, the second warms up."""
        recipe = self.recipe
        if recipe.dropout is not None:
            return recipe.dropout
        if recipe.epochs is not None:
            return dropout_for(recipe.epochs)
        if self.progress.steps < 3 or not step_seconds:
            return None
        assert recipe.seconds is not None
        steps_left = (recipe.seconds - (self.progress.seconds - leg.seconds)) / step_seconds
        return dropout_for(steps_left * self.streams * self.window / self._learn.n_symbols)

    def _recover(self, loss: float, norm: float) -> records.Noticed:
        """The first time that the loss explodes, go back to the best weights at half the rate."""
        progress = self.progress
        what = f"the loss became {loss} and its gradient {norm} at step {progress.steps}"
        if progress.restarts:
            raise records.TrainingError(
                f"{what}, again after a restart at half the rate; nothing that was there before "
                "is lost, so train once more with another --seed"
            )
        progress.restarts += 1
        self.network.assign(self.best)
        self._state = np.zeros_like(self._state)
        for variable in self._optimiser.variables[2:]:  # moments; the counters and the rate stay
            variable.assign(np.zeros(variable.shape, np.float32))
        return records.Noticed(
            seconds=progress.seconds,
            message=f"{what}; going on from the best weights at half the rate",
        )

    def _settle(self, start: Start) -> Iterator[records.BaseBits]:
        """Go back towards the start as far as that costs next to nothing; tell what is kept."""
        progress, best = self.progress, self.best
        for share in BLENDS if progress.best_share else ():
            weights = tuning.blended(best, start.weights, share)
            self.network.assign(weights)
            bits = self.heldout_bits()
            if bits > LITTLE * progress.best_bits:
                break
            self.best, progress.best_bits = weights, min(bits, progress.best_bits)
        self.network.assign(self.best)
        if start.test and progress.start_test_bits is not None:
            yield records.BaseBits(
                seconds=progress.seconds,
                before=progress.start_test_bits,
                after=self._bits(start.test),
            )

    def _stepped(self, leg: "_Leg", symbols_per_s: float) -> records.Stepped:
        progress = self.progress
        return records.Stepped(
            seconds=progress.seconds,
            share=progress.share,
            seconds_left=leg.seconds_left(progress.seconds, progress.share),
            symbols=progress.symbols,
            symbols_per_s=symbols_per_s,
            epoch=self._epoch(),
            train_bits=progress.train_bits,
            memory_mb=psutil.Process().memory_info().rss / 1e6,
        )

    def _evaluated(self, prompt: str, sample: str) -> records.Evaluated:
        progress = self.progress
        bits = self.heldout_bits()
        best = bits < progress.best_bits
        progress.looks += 1
        progress.looks_since_best = 0 if best else progress.looks_since_best + 1
        if best:
            progress.best_bits, progress.best_share = bits, progress.share
            self.best = self.network.weights_by_name()
        return records.Evaluated(
            seconds=progress.seconds,
            share=progress.share,
            epoch=self._epoch(),
            train_bits=progress.train_bits,
            heldout_bits=bits,
            best=best,
            prompt=prompt,
            sample=sample,
        )

    def heldout_bits(self) -> float:
        """Bits per symbol of the held-out text by the weights as they are."""
        return self._bits(self._heldout)

    def _bits(self, text: SymbolFile) -> float:
        """Bits per symbol of `text`, its beginning, in parallel streams that start from nothing."""
        n_symbols = min(text.n_symbols, self.recipe.heldout_symbols)
        streams = max(1, min(self.streams, n_symbols // (4 * self.window)))
        length = (n_symbols - 1) // streams
        if length < 1:
            return self.progress.train_bits  # nothing was kept back: the best guess there is
        state: Any = np.zeros(self.network.spec.state_shape(streams), np.float32)
        starts = length * np.arange(streams)
        nats, count = 0.0, 0
        window = min(self.window, length)
        for at in range(0, length - window + 1, window):
            symbols = text.read(starts + at, window + 1).astype(np.int32).T
            losses, state = self._measure_step(symbols, state)
            nats += float(np.sum(losses))
            count += window * streams
        return nats / LN2 / count


TELL_EVERY_S = 0.25  # as often as a terminal is drawn
LOOKING_SHARE = 0.08  # of the time may go into looking
BLENDS = (0.1, 0.2, 0.3, 0.4, 0.5)  # of the way back to the start that are tried, one by one
LITTLE = 1.003  # times the fewest bits: what another share of the start may cost


@dataclass(frozen=True, slots=True)
class _Leg:
    """One stretch of a run: from its start, or from where it was resumed, to its end."""

    began: float  # on the clock, as if the legs before had just ended
    seconds: float  # of the legs before
    share: float  # of the plan, done before

    def share_of(self, recipe: Recipe, seconds: float, epoch: float) -> float:
        """How much of the plan is done; by time, what was left of it is spread over this leg."""
        if recipe.epochs is not None:
            return min(1.0, epoch / recipe.epochs)
        assert recipe.seconds is not None
        return min(1.0, self.share + (1 - self.share) * (seconds - self.seconds) / recipe.seconds)

    def seconds_left(self, seconds: float, share: float) -> float | None:
        """None while there is too little to go by: five seconds, a hundredth of the plan."""
        here, done = seconds - self.seconds, share - self.share
        return here / done * (1 - share) if here > 5 and done > 0.01 else None


def fine_tuning(recipe: Recipe) -> Recipe:
    """`recipe` for weights that know the language already: smaller updates, longer windows."""
    return replace(recipe, peak_rate=2e-3, window=64, pull=0.1)


def going_on(recipe: Recipe) -> Recipe:
    """`recipe` for weights that know the user too: at the full rate they would lose that first."""
    return replace(recipe, peak_rate=5e-4, patience=1.0)


def layout(n_symbols: int, recipe: Recipe, n_cores: int) -> tuple[int, int]:
    """(streams, window) that fit the text: a small one gets fewer streams.

    Few updates of many streams would see a small text often and learn little from it; so some
    fifty updates a pass, while eight streams are left, and as many as the cores share out evenly.
    """
    window = min(recipe.window, max(8, (n_symbols - 1) // 8))
    streams = min(recipe.streams, max(8, n_symbols // (50 * window)), (n_symbols - 1) // window)
    if streams >= n_cores:
        streams -= streams % n_cores
    return max(1, streams), window


def learning_rate(share: float, recipe: Recipe) -> float:
    """Linear warm-up, then a cosine down to `final_rate` (Loshchilov & Hutter 2017)."""
    # 1) linear warm-up; from a little above zero, or the first steps would be wasted
    if share < recipe.warm_up:
        return recipe.peak_rate * (share + 0.01) / (recipe.warm_up + 0.01)
    # 2) cosine decay
    done = (share - recipe.warm_up) / (1 - recipe.warm_up)
    height = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return recipe.final_rate + (recipe.peak_rate - recipe.final_rate) * height


def dropout_for(epochs: float) -> float:
    """Share of outputs to drop when the text will be read `epochs` times.

    None up to one pass and a half, where nothing can be learned by heart; a bit more each time
    that the number of passes doubles, never more than half (Zaremba et al. 2014 end there).
    """
    return round(min(0.5, max(0.0, 0.12 * math.log2(max(epochs, 1e-9) / 1.5))), 3)
