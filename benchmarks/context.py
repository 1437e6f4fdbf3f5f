"""One distribution of the memory: how long it takes, beside other means of making one.

    .venv/bin/python benchmarks/context.py [--megabytes 10]

The user's text is what Python itself is written in. Each means learns the same text and is asked at
the same random places of it, where nothing of the answer can be in a cache; `numpy` is the order-8
baseline over sorted contexts (a suffix array), which knows less than half as much. The unit beside
which to read them is the budget of a rollout's step, 30 microseconds.
"""

import argparse
import statistics
import sysconfig
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
from afterword_trainer.baselines import CharacterNgrams
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.memory import Memory, Place, library
from afterword_trainer.model.mixing import Mixer, Trace
from afterword_trainer.model.predictor import Symbols
from numpy.typing import NDArray
from stopwatch import finish, say

BUDGET_US = 30.0
N_PLACES = 2_000
ALPHABET = Alphabet("".join(chr(0xA1 + i) for i in range(254)))  # as wide as the base's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=float, default=10.0)
    options = parser.parse_args()
    text = source_text(int(1e6 * options.megabytes))
    symbols = ALPHABET.encode(text)
    at = np.random.default_rng(0).integers(64, len(symbols) - 1, N_PLACES)
    logits = np.random.default_rng(1).normal(0, 3, (N_PLACES, ALPHABET.size)).astype(np.float32)

    memory = Memory(ALPHABET, at_most_bytes=1 << 30)
    began = perf_counter()
    for start in range(0, len(symbols), 20_000):  # documents as large as people write them
        memory.learn(str(start), symbols[start : start + 20_000])
    learning_s = perf_counter() - began
    ask = ask_memory(memory, symbols, logits)
    began = perf_counter()
    assert memory.forget("0")
    forgetting_s = perf_counter() - began
    result = {
        "megabytes": len(text.encode()) / 1e6,
        "learn_s_per_megabyte": learning_s / (len(text.encode()) / 1e6),
        "forget_20000_symbols_s": forgetting_s,
        "bytes_per_symbol": memory.n_bytes / len(symbols),
        "c_us": median_us(lambda i: ask(i, int(at[i]))),
    }
    say(f"memory in C: {result['c_us']:.1f} us of {BUDGET_US:.0f}")
    ngrams = CharacterNgrams(symbols[:2_000_000], ALPHABET.size)
    contexts = [tuple(symbols[a - 8 : a].tolist()) for a in at % 2_000_000 + 8]
    result["numpy_2_megabytes_us"] = median_us(lambda i: ngrams.after(contexts[i]))
    finish("context", result)


def source_text(n_bytes: int) -> str:
    """Real text from the standard library, the same on every machine of one version."""
    text, total = [], 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if "site-packages" in path.parts or total > n_bytes:
            continue
        text.append(path.read_text(encoding="utf-8", errors="replace"))
        total += path.stat().st_size
    return "".join(text)[:n_bytes]


def ask_memory(
    memory: Memory, symbols: Symbols, logits: NDArray[np.float32]
) -> Callable[[int, int], None]:
    """ask(i, at): predict symbol `at` of the text, mixed with the network's i-th answer.

    The first time a place is asked for it is only prepared. `symbols` (n,), `logits` (n_places,
    n_symbols).
    """
    mixer, trace = Mixer.default(), Trace()
    p = np.empty(ALPHABET.size, np.float32)
    places: dict[int, Place] = {}

    def ask(i: int, at: int) -> None:
        if at not in places:
            places[at] = Place()
            for symbol in symbols[at - 64 : at].tolist():
                places[at].observe(memory, symbol)
            return
        library.predict(
            memory.pointer,
            places[at].pointer,
            mixer.pointer,
            logits[i].ctypes.data,
            10.0,  # bits: a middling surprise
            trace.pointer,
            p.ctypes.data,
        )

    return ask


def median_us(ask: Callable[[int], object]) -> float:
    """Median over all places; each is asked once before, to prepare it."""
    for i in range(N_PLACES):
        ask(i)
    times = []
    for i in range(N_PLACES):
        began = perf_counter()
        ask(i)
        times.append(perf_counter() - began)
    return 1e6 * statistics.median(times)


if __name__ == "__main__":
    main()
