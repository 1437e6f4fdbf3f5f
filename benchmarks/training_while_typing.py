"""How long an editor waits at a key while a model is trained, beside one where none is.

    .venv/bin/python benchmarks/training_while_typing.py [--text FILE] [--keys 400]

Keys go through the real `afterword-lsp` and a daemon with the shipped model, as in `keystroke.py`.
Beside them works a real child of training, started as the daemon starts it: niced, behind all that
is not idle (`--background`), in a group that is stopped by signals. A passage of 40 keys is typed
in turn in each of four ways, so that all of them share whatever the machine is at:

    without     the child has been standing still for a second
    stopped     it works until the first key and is stopped there, which is what the daemon does
    slices      it is not stopped at a key, but works on at a quarter of a core
    always      it is not stopped at all

Target: p99 of "stopped", the only one that happens, at most twice that of "without".
"""

import argparse
import asyncio
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from afterword_daemon import trainee
from afterword_daemon.child import Child
from afterword_daemon.learning import SLICE_S
from afterword_daemon.machine import GRACE_S
from afterword_trainer.paths import Paths
from keystroke import (
    AFTERWORD,
    EXAMPLES,
    PASSAGE,
    Editor,
    Typist,
    percentiles,
    stop_daemon,
    times_of,
    type_in_turns,
)
from stopwatch import finish, say

MOST_TIMES = 2.0  # p99 while something is trained, of that while nothing is
WAYS = ("without", "stopped", "slices", "always")
REST_S = 1.0  # until nothing of the way before is left
SHARE = 0.25  # of a core, as the daemon allows
PATIENCE_S = 900.0  # until the child trains: on a busy machine it comes last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--text", type=Path, help="what is typed, and learned")
    parser.add_argument("--keys", type=int, default=400, help="in each of the ways")
    parser.add_argument("--interval-ms", type=float, default=60.0, help="between two keys")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    files = [options.text] if options.text else sorted(EXAMPLES.rglob("*.txt"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in files).replace("\r", "")

    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aw-")))
        stack.callback(stop_daemon, str(home))
        notes = home / "notes"
        notes.mkdir()
        (notes / "text.txt").write_text(text, encoding="utf-8")
        editor = stack.enter_context(Editor(AFTERWORD, str(home)))
        editor.open((text * (10_000 // len(text) + 1))[:10_000])
        child = stack.enter_context(training(home, notes))
        typists = {
            way: Typist(editor, text, random.Random(options.seed + n)) for n, way in enumerate(WAYS)
        }
        draw = random.Random(options.seed)
        for _ in range(options.keys // PASSAGE):
            for way, typist in typists.items():
                with at_work(child, way):
                    type_in_turns([typist], PASSAGE, options.interval_ms / 1000, draw)
        if child.exit_code() is not None:
            raise SystemExit("the child has ended before the keys did; see: training.err")

    times = {way: typist.times for way, typist in typists.items()}
    found: dict[str, Any] = {"keys": len(times["without"]), "targets": {"stopped_p99": MOST_TIMES}}
    for way in WAYS:
        found[way] = {
            "ms": percentiles(times[way]),
            "times_without": times_of(times[way], times["without"]),
        }
        ms, ratio = found[way]["ms"], found[way]["times_without"]
        say(
            f"{way:>8}: p50 {ms['p50']:.2f} ms ({ratio['p50']:.2f} times), "
            f"p99 {ms['p99']:.2f} ms ({ratio['p99']:.2f} times)"
        )
    first_ms = {way: percentiles(times[way][::PASSAGE])["p50"] for way in WAYS}
    found["first_key_of_a_passage_ms"] = first_ms
    say(f"target: p99 of stopped at most {MOST_TIMES:g} times; first keys: {first_ms}")
    finish("training_while_typing", found)


@contextmanager
def training(home: Path, notes: Path) -> Iterator[Child]:
    """A child that trains on and on, and stands still."""
    paths = Paths.from_environment({"AFTERWORD_HOME": str(home)})
    child = Child(
        [*trainee.UPDATE, "--symbols", "1000000000", "--", str(notes)],
        log=paths.logs / trainee.ERRORS,
        environment=trainee.environment(paths),
    )
    try:
        said, give_up = trainee.Said(), time.monotonic() + PATIENCE_S
        while not said.share:
            said.take(child.records())
            if child.exit_code() is not None or time.monotonic() > give_up:
                raise SystemExit(f"nothing is trained; see: {paths.logs / trainee.ERRORS}")
            time.sleep(0.1)
        child.stop()
        yield child
    finally:
        asyncio.run(child.end(GRACE_S))
        child.close()


@contextmanager
def at_work(child: Child, way: str) -> Iterator[None]:
    """While somebody types, the child does as `way` says; before and after it stands still."""
    is_over = threading.Event()

    def work() -> None:
        while not is_over.is_set():
            child.go_on()
            is_over.wait(SLICE_S)
            child.stop()
            is_over.wait(SLICE_S / SHARE - SLICE_S)

    time.sleep(REST_S)
    worker = threading.Thread(target=work if way == "slices" else child.go_on)
    if way != "without":
        worker.start()
    if way == "stopped":
        time.sleep(SLICE_S)
        child.stop()
    yield
    is_over.set()
    if way != "without":
        worker.join()
    child.stop()


if __name__ == "__main__":
    main()
