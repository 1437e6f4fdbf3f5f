"""What Afterword occupies: memory over 10,000 requests, and processor while nobody types.

    .venv/bin/python benchmarks/footprint.py [--text FILE] [--requests 10000] [--idle-s 60]
        [--files 766] [--swaps 3]

Real text is typed at random places of several documents, as fast as it is answered, through the
real `afterword-lsp` with a daemon and the shipped model behind it. The memory is filled first, as
it is after some days, from a folder that is watched; what grows after that has no bound. Between
equal parts of the typing another model takes the place of the one in use, and the memory is stored:
both take more for a moment, which has to come back. Beside the daemon stands a process that has
loaded no more than Python and asyncio.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from keystroke import AFTERWORD, EXAMPLES, Editor, Typist, run_afterword, stop_daemon
from stopwatch import finish, say

N_SAMPLES = 200  # of the memory, over all requests
MOST_DAEMON_MB = 120
MOST_LSP_MB = 60
MOST_GROWTH = 0.01  # over the last half
MOST_IDLE = 0.005  # of a core
NOTHING = (sys.executable, "-c", "import asyncio; asyncio.run(asyncio.Event().wait())")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--text", type=Path, help="what is typed, and where")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--documents", type=int, default=8, help="of 50 KB, open at once")
    parser.add_argument("--idle-s", type=float, default=60.0)
    parser.add_argument("--files", type=int, default=766, help="of 2 KB, in a watched folder")
    parser.add_argument("--swaps", type=int, default=3, help="of the model, while one types")
    options = parser.parse_args()
    files = [options.text] if options.text else sorted(EXAMPLES.rglob("*.txt"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in files).replace("\r", "")
    found: dict[str, Any] = {"requests": options.requests}

    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="aw-"))
        stack.callback(stop_daemon, home)
        watch(home, text, options.files)
        typists = []
        for number in range(options.documents):
            editor = stack.enter_context(Editor(AFTERWORD, home))
            start = number * 50_000 % max(1, len(text) - 50_000)
            editor.open(text[start : start + 50_000])
            typists.append(Typist(editor, text, random.Random(number)))
        daemon = psutil.Process(process_of_daemon(home))
        servers = [psutil.Process(typist.editor.pid) for typist in typists]
        nothing = stack.enter_context(subprocess.Popen(NOTHING))
        stack.callback(nothing.kill)
        time.sleep(3.0)  # for what was opened to be learned

        # 1) memory, sampled while one types
        samples: list[tuple[float, float]] = []
        part = options.requests // (options.swaps + 1)
        steps = []
        for n in range(options.requests):
            if n and n % part == 0 and len(steps) < options.swaps:
                steps.append(swap(home, daemon, typists[0]))
                say(
                    "swap {n}: {before} MB before, {highest} at most, {after} after".format(
                        n=len(steps), **steps[-1]
                    )
                )
            if n % max(1, options.requests // N_SAMPLES) == 0:
                samples.append((resident_mb(daemon), max(map(resident_mb, servers))))
            typists[n // 200 % len(typists)].key()
        samples.append((resident_mb(daemon), max(map(resident_mb, servers))))
        of_daemon, of_server = zip(*samples, strict=True)
        found["swaps"] = steps
        found |= {
            "daemon_mb": of_half(of_daemon),
            "lsp_mb": of_half(of_server),
            "nothing_mb": resident_mb(psutil.Process(nothing.pid)),
        }
        tell("daemon", found["daemon_mb"], MOST_DAEMON_MB)
        tell("language server", found["lsp_mb"], MOST_LSP_MB)

        # 2) processor, and how often it is woken, while nobody types
        time.sleep(3.0)  # for what can wait to be done
        idle = {
            "daemon": Idle(daemon),
            "lsp": Idle(servers[0]),
            "nothing": Idle(psutil.Process(nothing.pid)),
        }
        time.sleep(options.idle_s)
        found["idle"] = {name: one.since() for name, one in idle.items()}
        for name, figures in found["idle"].items():
            say(f"idle {name}: {figures['share']:.2%} of a core, {figures['wakes_per_s']} wakes/s")
    found["targets"] = {
        "daemon_mb": MOST_DAEMON_MB,
        "lsp_mb": MOST_LSP_MB,
        "growth": MOST_GROWTH,
        "idle_share": MOST_IDLE,
    }
    finish("footprint", found)


def watch(home: str, text: str, n_files: int) -> None:
    """Have files of real text watched, and wait until the memory holds what it can of them."""
    notes = Path(home, "notes")
    notes.mkdir()
    size = min(2_000, len(text) // max(1, n_files))
    for number in range(n_files):
        page = text[number * size : (number + 1) * size]
        (notes / f"{number:03}.md").write_text(page, encoding="utf-8")
    run_afterword(home, "start")
    run_afterword(home, "watch", "add", str(notes))
    before = None
    while before != (now := status(home)["memory"]["memory"]) or now < 4_000_000:
        before = now
        time.sleep(3.0)


def swap(home: str, daemon: psutil.Process, typist: Typist) -> dict[str, float]:
    """Put a model like the one in use in its place and have the memory stored; the MB of it."""
    from afterword_trainer.paths import Paths
    from afterword_trainer.shelf import Shelf

    paths = Paths.from_environment({**os.environ, "AFTERWORD_HOME": home})
    shelf, before = Shelf(paths.models, paths.base), resident_mb(daemon)
    bundle, _ = shelf.current()
    assert bundle
    highest = Highest(daemon)
    highest.start()
    shelf.use(shelf.publish(replace(bundle, id=shelf.next_id())))
    while status(home)["model"]["id"] == bundle.id:
        typist.key()  # as it is in life: the daemon looks when it is asked
    store_memory(home)
    time.sleep(1.0)
    highest.ended.set()
    highest.join()
    return {"before": before, "highest": highest.mb, "after": resident_mb(daemon)}


def store_memory(home: str) -> None:
    """Have the daemon store its memory now rather than in some minutes, which nobody can ask for.

    But what is watched no more is to be gone from the disk in a second.
    """
    other = Path(home, "others")
    other.mkdir(exist_ok=True)
    (other / "one.md").write_text("Nothing that anybody would miss.\n" * 3, encoding="utf-8")
    stored = Path(home, "data", "memory")
    was = stored.stat().st_mtime_ns if stored.exists() else 0
    run_afterword(home, "watch", "add", str(other))
    while not any(one["path"] == str(other) and one["files"] for one in status(home)["watched"]):
        time.sleep(0.2)
    time.sleep(1.0)
    run_afterword(home, "watch", "remove", str(other))
    give_up = time.monotonic() + 60
    while not stored.exists() or stored.stat().st_mtime_ns == was:
        if time.monotonic() > give_up:
            raise SystemExit("the memory was not stored")
        time.sleep(0.2)


class Highest(threading.Thread):
    """Looks every few milliseconds."""

    def __init__(self, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self.mb = 0.0
        self.ended = threading.Event()
        self._process = process

    def run(self) -> None:
        while not self.ended.wait(0.005):
            self.mb = max(self.mb, resident_mb(self._process))


class Idle:
    """What a process does from now on."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._began = time.monotonic()
        self._before = self._counts()

    def since(self) -> dict[str, float]:
        took = time.monotonic() - self._began
        cpu_s, wakes = (now - then for now, then in zip(self._counts(), self._before, strict=True))
        return {"share": round(cpu_s / took, 5), "wakes_per_s": round(wakes / took, 2)}

    def _counts(self) -> tuple[float, float]:
        times, switches = self._process.cpu_times(), self._process.num_ctx_switches()
        return times.user + times.system, float(switches.voluntary)


def of_half(samples: tuple[float, ...]) -> dict[str, float]:
    """First, highest and last; and by how much the last quarter is above the third one."""
    half = samples[len(samples) // 2 :]
    third, last = half[: len(half) // 2], half[len(half) // 2 :]
    return {
        "first": samples[0],
        "highest": max(samples),
        "last": samples[-1],
        "growth": round(median(last) / median(third) - 1, 4),
    }


def tell(name: str, found: dict[str, float], most: int) -> None:
    say(
        f"{name}: {found['first']:.0f} MB at first, {found['highest']:.0f} at most "
        f"(target {most}), growth over the last half {found['growth']:.2%} "
        f"(target {MOST_GROWTH:.0%})"
    )


def resident_mb(process: psutil.Process) -> float:
    return float(round(process.memory_info().rss / 1e6, 2))


def process_of_daemon(home: str) -> int:
    return int(status(home)["pid"])


def status(home: str) -> Any:
    return json.loads(run_afterword(home, "status", "--json"))


if __name__ == "__main__":
    main()
