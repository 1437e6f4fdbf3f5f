"""How long one served step takes, beside numpy and beside the time to read its weights once.

    .venv/bin/python benchmarks/step.py [--layers 2 --units 512] [--rounds 100]

A step multiplies every weight once for each stream, so no step of a few streams can be faster
than reading the weights. They are read by the fastest means that numpy has, on one thread like the
step, from where the step finds them: from the cache while somebody types (warm), from memory after
a pause in which others used the cache (cold). Target: at most twice that limit.
"""

import argparse
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from time import perf_counter
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's step is to have one thread too

import numpy as np
import psutil
from afterword_trainer.model.spec import NetworkSpec
from afterword_trainer.model.step import LiteRtStep, NetworkPredictor, NumpyStep, Step
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from stopwatch import Turn, cache_bytes, figures, finish, in_turns, ratio, say, seconds_per_call

STREAMS = (1, 8)
MOST_TIMES_THE_LIMIT = 2.0
COLD_ROUNDS = 15  # each has to read a large buffer for every turn
Weights = dict[str, NDArray[np.float32]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument("--symbols", type=int, default=280)  # ASCII, bytes, a few of the user's
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    spec = NetworkSpec(n_symbols=options.symbols, layers=options.layers, units=options.units)

    # 1) the graphs are made in another process: where they serve, there is no TensorFlow
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
        weights, graphs = apart.submit(untrained, spec).result()

    # 2) the least that a step has to read: each matrix as int8, each bias as float32
    n_bytes = bytes_to_read(spec)
    as_weights = np.ones(n_bytes, np.uint8)
    read = as_weights.max  # compares 64 bytes at a time; nothing else in numpy reads faster
    large = np.ones(bytes_that_fill_the_cache(), np.uint8)

    # 3) warm: everything again and again
    steps: dict[str, Step] = {}
    calls: dict[str, Callable[[], object]] = {"limit": read}
    for n in STREAMS:
        steps[f"litert {n}"] = LiteRtStep(spec, graphs[n], n_streams=n)
        steps[f"numpy {n}"] = NumpyStep(spec, weights, n_streams=n)
        calls |= parts_of_a_step(spec, graphs[n], n)
    calls |= {name: one_call(step) for name, step in steps.items()}
    calls["predictor"] = one_symbol(NetworkPredictor(steps["litert 1"]))
    warm = in_turns({k: seconds_per_call(call) for k, call in calls.items()}, options.rounds)

    # 4) cold: each after something larger than the cache was read
    chosen = ["limit", *(f"litert {n}" for n in STREAMS)]
    cold = in_turns({name: after(large.max, calls[name]) for name in chosen}, COLD_ROUNDS)
    sweep_s = in_turns({"sweep": seconds_per_call(large.max)}, 3)["sweep"]

    held_in = next((name for name, size in cache_bytes().items() if size >= n_bytes), "memory")
    found: dict[str, Any] = {
        "network": f"{spec.cell} {spec.layers}x{spec.units}, {spec.n_symbols} symbols",
        "threads": 1,
        "weight_bytes": n_bytes,
        "weights_fit_in": held_in,
        "gb_per_s": {
            "warm": figures([n_bytes / s / 1e9 for s in warm["limit"]]),
            "cold": figures([n_bytes / s / 1e9 for s in cold["limit"]]),
            "long_read": figures([large.size / s / 1e9 for s in sweep_s]),
        },
        "swept_bytes": large.size,
        "warm_us": {name: figures(values, 1e6) for name, values in warm.items()},
        "cold_us": {name: figures(values, 1e6) for name, values in cold.items()},
        "times_the_limit": {
            f"{n}": {
                "warm": ratio(warm, f"litert {n}", "limit"),
                "cold": ratio(cold, f"litert {n}", "limit"),
                "target": MOST_TIMES_THE_LIMIT,
            }
            for n in STREAMS
        },
        "times_faster_than_numpy": {
            f"{n}": ratio(warm, f"numpy {n}", f"litert {n}") for n in STREAMS
        },
    }
    tell(found)
    finish("step", found)


def untrained(spec: NetworkSpec) -> tuple[Weights, dict[int, bytes]]:
    """Weights and serving graphs; what the weights are changes nothing about the time."""
    # TensorFlow greets on descriptor 2, whatever it is told; errors come back with the result.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    from afterword_trainer.export import serving_graphs
    from afterword_trainer.network import CharacterNetwork

    weights = CharacterNetwork(spec).weights_by_name()
    return weights, serving_graphs(spec, weights, streams=STREAMS)


def bytes_to_read(spec: NetworkSpec) -> int:
    """Of the embedding a step reads one row a stream, which is left out."""
    shapes = {n: shape for n, shape in spec.weight_shapes().items() if n != "embedding"}
    return sum(
        int(np.prod(shape)) * (4 if name.endswith("bias") else 1) for name, shape in shapes.items()
    )


def bytes_that_fill_the_cache() -> int:
    """Twice the largest cache, 256 MB at least, a quarter of the free memory at most."""
    largest = max(cache_bytes().values(), default=0)
    return min(max(2 * largest, 256_000_000), psutil.virtual_memory().available // 4)


def one_call(step: Step) -> Callable[[], object]:
    """A whole `Step.__call__`: copies in, the graph, copies out."""
    symbols = np.arange(97, 97 + step.n_streams, dtype=np.int32)
    draw = np.random.default_rng(0)
    state = draw.uniform(-1, 1, step.spec.state_shape(step.n_streams)).astype(np.float32)
    return lambda: step(symbols, state)


def one_symbol(predictor: NetworkPredictor) -> Callable[[], object]:
    """What a typed character costs: a step and its softmax."""

    def call() -> None:
        predictor.observe(97)
        predictor.distribution()

    return call


def parts_of_a_step(spec: NetworkSpec, graph: bytes, n: int) -> dict[str, Callable[[], object]]:
    """The graph alone, and the copies in and out alone."""
    interpreter = Interpreter(model_content=graph, num_threads=1)
    interpreter.allocate_tensors()
    inputs = [
        (one["index"], np.zeros(one["shape"], one["dtype"]))
        for one in interpreter.get_input_details()
    ]
    outputs = [one["index"] for one in interpreter.get_output_details()]

    def copy_in() -> None:
        for index, value in inputs:
            interpreter.set_tensor(index, value)

    def copy_out() -> None:
        for index in outputs:
            interpreter.get_tensor(index)

    return {
        f"graph alone {n}": interpreter.invoke,
        f"copies in {n}": copy_in,
        f"copies out {n}": copy_out,
    }


def after(sweep: Callable[[], object], call: Callable[[], object]) -> Turn:
    """A turn of one call, after a sweep that is not timed."""

    def turn() -> float:
        sweep()
        began = perf_counter()
        call()
        return perf_counter() - began

    return turn


def tell(found: dict[str, Any]) -> None:
    warm, cold = found["warm_us"], found["cold_us"]
    size = found["weight_bytes"] / 1e6
    say(f"{found['network']}, one thread; microseconds, medians")
    say(
        f"weights: {size:.2f} MB, held in {found['weights_fit_in']} when warm; read once at "
        f"{found['gb_per_s']['warm']['median']:.1f} GB/s warm, "
        f"{found['gb_per_s']['cold']['median']:.1f} GB/s cold"
    )
    say(f"{'':24}{'warm':>10}{'cold':>10}")
    for name, value in warm.items():
        say(f"{name:24}{value['median']:10.1f}{cold[name]['median'] if name in cold else '':>10}")
    for n, times in found["times_the_limit"].items():
        say(
            f"{n} streams: {times['warm']:.2f} times the limit warm, {times['cold']:.2f} cold "
            f"(target {MOST_TIMES_THE_LIMIT:g}); "
            f"{found['times_faster_than_numpy'][n]:.1f} times as fast as numpy"
        )


if __name__ == "__main__":
    main()
