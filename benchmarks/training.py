"""How fast training is: beside this machine's own sgemm, Keras's layers and the lessons' networks.

    .venv/bin/python benchmarks/training.py [--rounds 5] [--layouts 64x32,256x64]

Characters per second are targets per second: characters that were predicted and learned from.
A character costs `flop_per_character` floating-point operations in matrix products (two for each
weight of a matrix forward, four backward; element-wise work is not counted), which makes its rate
comparable with that of numpy's float32 matrix product on as many threads. Targets: 130 % of it
where the processor multiplies bfloat16, 60 % where not; ten times the lesson's characters.

Each contender has a process of its own, since TensorFlow's threads are set once per process: ours
as `trainer learn` sets them, Keras's as it comes. They take turns; who waits, waits idle.
"""

import argparse
import os
import re
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from afterword_trainer import machine, stream
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.spec import NetworkSpec
from stopwatch import figures, finish, in_turns, ratio, say

LETTERS = Path(__file__).parent.parent / "examples" / "letters"
SHARE_WITH_BF16, SHARE_WITHOUT, TIMES_THE_LESSON = 1.3, 0.6, 10.0  # the targets
SQUARE = 2048  # of the product that is the reference: large enough to be at its best


class Setting(NamedTuple):
    """What every contender is told."""

    text: str
    spec: NetworkSpec
    layouts: Sequence[tuple[int, int]]  # (streams, window) of a batch
    precision: str  # "auto" asks `network.fastest_precision`, as `trainer learn` does
    n_cores: int
    turn_s: float


Work = Callable[[], float]  # takes about `turn_s`; targets, or operations, per second
Contender = Callable[[Setting], tuple[dict[str, Work], dict[str, Any]]]  # and what to report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--text", type=Path, default=LETTERS, help="folder of .txt or .md files")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument(
        "--layouts",
        type=lambda value: [tuple(map(int, one.split("x"))) for one in value.split(",")],
        default=[(64, 32), (256, 64)],
        help="streams x window: the default recipe's, then the fastest (64x32,256x64)",
    )
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--only", default="sgemm,ours,keras,lesson", help="which contenders")
    parser.add_argument("--cores", type=int, default=machine.cores())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turn", type=float, default=3.0, help="seconds")
    options = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(options.cores)
    text = _read(options.text)
    spec = NetworkSpec(
        n_symbols=Alphabet.from_counts(Counter(text)).size,
        layers=options.layers,
        units=options.units,
    )
    setting = Setting(
        text=text,
        spec=spec,
        layouts=options.layouts,
        precision=options.precision,
        n_cores=options.cores,
        turn_s=options.turn,
    )

    workers = [Worker(name, setting) for name in CONTENDERS if name in options.only.split(",")]
    turns = {name: work for worker in workers for name, work in worker.turns().items()}
    rates = in_turns(turns, options.rounds)
    facts = {key: value for worker in workers for key, value in worker.facts.items()}
    for worker in workers:
        worker.end()

    flop = flop_per_character(spec)
    ours = [name for name in rates if name.startswith("ours ")]
    others = [name for name in rates if name not in (*ours, "sgemm")]
    found: dict[str, Any] = {
        "network": f"{spec.cell} {spec.layers}x{spec.units}, {spec.n_symbols} symbols",
        "parameters": spec.n_parameters(),
        "flop_per_character": flop,
        "threads": setting.n_cores,
        **facts,
        "characters_per_s": {k: figures(v) for k, v in rates.items() if k != "sgemm"},
        "times_faster": {
            name: {other: ratio(rates, name, other) for other in others} for name in ours
        },
        "times_the_lesson_target": TIMES_THE_LESSON,
    }
    if "sgemm" in rates:
        # The lessons' networks have as many weights in all, but not in the same places.
        alike = [name for name in rates if name.startswith(("ours ", "keras layers "))]
        found["sgemm_gflop_per_s"] = figures(rates["sgemm"], 1e-9)
        found["share_of_sgemm"] = {
            name: round(flop * ratio(rates, name, "sgemm"), 3) for name in alike
        }
        has_bf16 = facts.get("precision") == "bfloat16"
        found["share_target"] = SHARE_WITH_BF16 if has_bf16 else SHARE_WITHOUT
    tell(found)
    finish("training", found)


class Worker:
    """A contender in its process, asked for one turn at a time."""

    def __init__(self, name: str, setting: Setting) -> None:
        say(f"preparing: {name}")
        spawn = get_context("spawn")
        self._ask, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(name, setting, theirs), daemon=True)
        self._process.start()
        theirs.close()
        names, self.facts = self._answer()
        self._names: list[str] = names

    def turns(self) -> dict[str, Work]:
        """By name, what takes a turn and returns its rate."""

        def turn(name: str) -> float:
            self._ask.send(name)
            return float(self._answer())

        return {name: lambda name=name: turn(name) for name in self._names}  # type: ignore[misc]

    def end(self) -> None:
        """Let the process go."""
        self._ask.send(None)
        self._process.join()

    def _answer(self) -> Any:
        answer = self._ask.recv()
        if isinstance(answer, str):
            raise SystemExit(answer)
        return answer


def _serve(name: str, setting: Setting, connection: Connection) -> None:
    """The life of a worker process: prepare, then a turn for each question."""
    # TensorFlow greets on descriptor 2, whatever it is told; errors go through the connection.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        works, facts = CONTENDERS[name](setting)
        for work in works.values():
            work()  # compiles
        connection.send((list(works), facts))
        while asked := connection.recv():
            connection.send(works[asked]())
    except Exception:
        connection.send(traceback.format_exc())


# -- the contenders ----------------------------------------------------------------------------


def sgemm(setting: Setting) -> tuple[dict[str, Work], dict[str, Any]]:
    """The reference: numpy's product of two large float32 matrices."""
    a = np.ones((SQUARE, SQUARE), np.float32)
    b, into = np.ones_like(a), np.empty_like(a)

    def work() -> float:
        n, began = 0, perf_counter()
        while (seconds := perf_counter() - began) < setting.turn_s / 2:
            np.matmul(a, b, out=into)
            n += 1
        return 2.0 * SQUARE**3 * n / seconds

    return {"sgemm": work}, {"sgemm_size": SQUARE}


def ours(setting: Setting) -> tuple[dict[str, Work], dict[str, Any]]:
    """`training.Training`, whole: windows from disk, the step, its bookkeeping."""
    from afterword_trainer import network

    network.use_cores(setting.n_cores)
    precision = setting.precision
    if precision == "auto":
        precision = network.fastest_precision(setting.spec.units)
    # A small text would get fewer streams; the same one again and again takes the same time.
    largest = max(streams * window for streams, window in setting.layouts)
    text = setting.text * (1 + 100 * largest // len(setting.text))
    piece = stream.Piece(path="letters.txt", language="text", modified=0.0, text=text)
    with tempfile.TemporaryDirectory(prefix="afterword-benchmark-") as folder:
        prepared = stream.prepare([piece], Path(folder))
        # The files stay open when the folder goes.
        works = {
            f"ours {streams}x{window}": _our_work(setting, prepared, precision, streams, window)
            for streams, window in setting.layouts
        }
    return works, {"precision": precision}


def flop_per_character(spec: NetworkSpec) -> int:
    """A multiplication and an addition for each weight of a matrix, three times.

    Once forward; backward once for the weights' gradient and once for the inputs'. The embedding
    is a look-up.
    """
    shapes = [shape for name, shape in spec.weight_shapes().items() if name != "embedding"]
    return 3 * 2 * sum(rows * columns for rows, columns in (s for s in shapes if len(s) == 2))


def _our_work(
    setting: Setting, prepared: stream.Prepared, precision: str, streams: int, window: int
) -> Work:
    from afterword_trainer import network, training

    # So many passes that none of the looks at held-out text, which a plan spreads, falls into
    # the measurement. What share is dropped changes nothing about the time.
    recipe = training.Recipe(epochs=1e6, streams=streams, window=window, dropout=0.1)
    run = training.Training(
        network.CharacterNetwork(setting.spec, precision=precision),
        prepared.learn_symbols(),
        prepared.heldout_symbols(),
        recipe,
        n_cores=setting.n_cores,
    )
    if (run.streams, run.window) != (streams, window):
        raise ValueError(
            f"{streams} streams of windows of {window} became {run.streams} of {run.window}"
        )
    records = run.train(interrupted=lambda: False, save=lambda: None, sample=lambda: ("", ""))

    def work() -> float:
        began, symbols = perf_counter(), run.progress.symbols
        while (seconds := perf_counter() - began) < setting.turn_s:
            next(records)
        return (run.progress.symbols - symbols) / seconds

    return work


def keras_layers(setting: Setting) -> tuple[dict[str, Work], dict[str, Any]]:
    """The same network of Keras's own layers, fed with ids, every position predicted."""
    keras = _keras(setting.n_cores)
    spec = setting.spec
    ids, _ = _ids(setting.text)
    works: dict[str, Work] = {}
    for policy in ("float32", "mixed_bfloat16"):
        keras.mixed_precision.set_dtype_policy(policy)
        model = keras.Sequential(
            [
                keras.layers.Embedding(spec.n_symbols, spec.embedding),
                *(keras.layers.LSTM(spec.units, return_sequences=True) for _ in range(spec.layers)),
                keras.layers.Dense(spec.n_symbols, dtype="float32"),
            ]
        )
        model.compile(
            keras.optimizers.AdamW(),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        for streams, window in setting.layouts:
            rows = np.resize(ids, streams * (window + 1)).reshape(streams, window + 1)
            works[f"keras layers {policy} {streams}x{window}"] = _batch_work(
                setting, model, rows[:, :-1], rows[:, 1:]
            )
    keras.mixed_precision.set_dtype_policy("float32")
    return works, {}


def _batch_work(setting: Setting, model: Any, x: Any, y: Any) -> Work:
    def work() -> float:
        n, began = 0, perf_counter()
        while (seconds := perf_counter() - began) < setting.turn_s:
            model.train_on_batch(x, y)
            n += 1
        return float(n * y.size / seconds)

    return work


def lesson(setting: Setting) -> tuple[dict[str, Work], dict[str, Any]]:
    """What the lesson's notebook and Keras's example do, with as many weights as ours has.

    Both have one LSTM layer on one-hot characters; its units are chosen for the number of
    weights. float32, RMSprop, `model.fit`, all as they teach it.
    """
    keras = _keras(setting.n_cores)
    notebook, notebook_facts = _notebook(keras, setting)
    example, example_facts = _example(keras, setting)
    return {"lesson": notebook, "keras example": example}, {
        "lesson": notebook_facts,
        "keras_example": example_facts,
    }


LESSON_BATCH, LESSON_CHARACTERS = 8, 100  # short pieces, a title each in the lesson


def _notebook(keras: Any, setting: Setting) -> tuple[Work, dict[str, Any]]:
    """Pieces of text in batches of 8, padded to the longest, made one-hot as they are asked for."""
    import tensorflow as tf

    pieces = list(_sentences(setting.text, LESSON_CHARACTERS))
    ids = {character: at for at, character in enumerate(sorted(set(setting.text)), 1)}
    end = len(ids) + 1  # 0 is the padding
    width = end + 1

    def one_hot(batch: Any) -> tuple[Any, Any]:
        rows = [[ids[c] for c in piece.numpy().decode()] for piece in batch]
        x = keras.utils.pad_sequences(rows)
        y = np.concatenate([x[:, 1:], np.full((len(x), 1), end)], 1)
        return tf.one_hot(x, width), tf.one_hot(y, width)

    def lazily(batch: Any) -> tuple[Any, Any]:
        x, y = tf.py_function(one_hot, [batch], (tf.float32, tf.float32))
        x.set_shape((None, None, width))
        y.set_shape((None, None, width))
        return x, y

    data = tf.data.Dataset.from_tensor_slices(pieces).repeat().batch(LESSON_BATCH).map(lazily)
    model, facts = _one_layer(keras, setting, width, every_position=True)
    lengths = np.array([len(piece) for piece in pieces])

    def targets(first: int, last: int) -> int:
        """Characters in the batches from `first` up to `last`; padding is none."""
        each = np.arange(first * LESSON_BATCH, last * LESSON_BATCH) % len(pieces)
        return int(lengths[each].sum())

    facts |= {
        "batch": LESSON_BATCH,
        "longest": LESSON_CHARACTERS,
        "mean_length": round(float(lengths.mean()), 1),
    }
    return _fit_work(keras, setting, model, targets, data, steps_per_epoch=10**6), facts


EXAMPLE_BATCH, EXAMPLE_WINDOW, EXAMPLE_STEP = 128, 40, 3


def _example(keras: Any, setting: Setting) -> tuple[Work, dict[str, Any]]:
    """Windows of 40 lower-cased characters, 3 apart, of which the one that follows is learned."""
    ids, width = _ids(setting.text.lower())
    n_batches = 100  # enough for a turn; all of the text would be gigabytes of one-hot
    starts = np.arange(EXAMPLE_BATCH * n_batches) * EXAMPLE_STEP % (len(ids) - EXAMPLE_WINDOW)
    rows = ids[starts[:, None] + np.arange(EXAMPLE_WINDOW + 1)]
    one_hot = np.eye(width, dtype=bool)[rows]
    model, facts = _one_layer(keras, setting, width, every_position=False)
    facts |= {"batch": EXAMPLE_BATCH, "window": EXAMPLE_WINDOW, "step": EXAMPLE_STEP}
    work = _fit_work(
        keras,
        setting,
        model,
        lambda first, last: EXAMPLE_BATCH * (last - first),
        one_hot[:, :-1],
        one_hot[:, -1],
        batch_size=EXAMPLE_BATCH,
        epochs=10**6,
    )
    return work, facts


def _one_layer(
    keras: Any, setting: Setting, width: int, *, every_position: bool
) -> tuple[Any, dict[str, Any]]:
    """One LSTM layer with a softmax, of as many weights as our network for the same text."""
    wanted = setting.spec.n_parameters()
    units = next(u for u in count(1) if 4 * u * (width + u + 1) + (u + 1) * width >= wanted)
    model = keras.Sequential(
        [
            keras.layers.Input((None, width)),
            *([keras.layers.Masking()] if every_position else []),
            keras.layers.LSTM(units, return_sequences=every_position),
            keras.layers.Dense(width, activation="softmax"),
        ]
    )
    model.compile("rmsprop", "categorical_crossentropy")
    return model, {"units": units, "parameters": model.count_params(), "symbols": width}


def _fit_work(
    keras: Any,
    setting: Setting,
    model: Any,
    targets: Callable[[int, int], int],
    *data: Any,
    **options: Any,
) -> Work:
    """A turn of `model.fit`, timed from the end of its first batch: starting is not training."""

    class Timer(keras.callbacks.Callback):  # type: ignore[misc]  # keras ships no types
        def on_train_begin(self, logs: Any = None) -> None:
            self.n_batches, self.began, self.seconds = 0, 0.0, 0.0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.n_batches += 1
            now = perf_counter()
            self.began = self.began or now
            self.seconds = now - self.began
            self.model.stop_training = self.seconds >= setting.turn_s

    def work() -> float:
        timer = Timer()
        model.fit(*data, verbose=0, callbacks=[timer], **options)
        return targets(1, timer.n_batches) / timer.seconds

    return work


CONTENDERS: Mapping[str, Contender] = {
    "sgemm": sgemm,
    "ours": ours,
    "keras": keras_layers,
    "lesson": lesson,
}


# -- shared ------------------------------------------------------------------------------------


def tell(found: dict[str, Any]) -> None:
    say(f"\n{found['network']}, {found['threads']} threads; medians")
    say(f"a character costs {found['flop_per_character'] / 1e6:.1f} MFLOP")
    if "precision" in found:
        say(f"our matrix products are in {found['precision']}")
    if "sgemm_gflop_per_s" in found:
        say(f"sgemm, float32: {found['sgemm_gflop_per_s']['median']:.0f} GFLOP/s")
    shares = found.get("share_of_sgemm", {})
    for name, rate in found["characters_per_s"].items():
        share = f"{shares[name]:8.0%} of sgemm" if name in shares else ""
        say(f"  {name:38}{rate['median']:10,.0f} characters/s{share}")
    for name, times in found["times_faster"].items():
        for other, value in times.items():
            say(f"  {name} is {value:.1f} times as fast as {other}")
    target = f"{found['share_target']:.0%} of sgemm, " if shares else ""
    say(f"targets: {target}{TIMES_THE_LESSON:g} times the lesson")


def _keras(n_cores: int) -> Any:
    """Keras on as many threads as the others have, which is its own choice on a whole machine."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(n_cores)
    tf.config.threading.set_inter_op_parallelism_threads(n_cores)
    import keras

    return keras


def _read(folder: Path) -> str:
    files = sorted(file for file in folder.rglob("*") if file.suffix in (".txt", ".md"))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def _ids(text: str) -> tuple[Any, int]:
    """Ids of the characters, (characters,), and how many different ones there are."""
    different, ids = np.unique(list(text), return_inverse=True)
    return ids, len(different)


def _sentences(text: str, at_most: int) -> Iterator[str]:
    """Sentences of 10 to `at_most` characters, enough for a long turn."""
    found = (s for s in re.split(r"(?<=[.!?])\s+|\n+", text) if 10 <= len(s) <= at_most)
    return islice(found, 4000)


if __name__ == "__main__":
    main()
