"""Fifty updates in a row: what the gate lets pass, what comes of it, and what is left behind.

    .venv/bin/python benchmarks/soak.py [--text FILE] [--updates 50] [--units 96] [--no-daemon]

A small base is made first, by the product's own pretraining, of the first book of letters in
`examples`. Then somebody writes a page an evening, of the second one (or of `--text`), and each is
learned by what the daemon's child does, in this process and on one thread, so that it can be
repeated bit for bit: gate, audit, ledger and shelf are the product's. A real daemon watches the
folder, swaps whenever a model is better, and is typed into after each update. Then the base and the
last model are compared on pages that nobody has learned, a page is forgotten, and its weights are
made anew twice, in two copies of the home.
Targets: the scores at the end are better than at the beginning; disk and memory over the last half
grow by no more than what was written; both rebuilds are the same to the byte.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from afterword_trainer.paths import Paths
from stopwatch import finish, say

EXAMPLES = Path(__file__).parent.parent / "examples" / "letters"
UNREAD_PAGES = 3  # at the end, for the scores before and after
KEYS = 40  # typed into the daemon after each update
MANIFEST = """\
name = "small"
[[parts]]
name = "letters"
folder = "{folder}"
licence = "public domain"
source = "the first book of letters in examples"
test = ["*"]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--text", type=Path, help="what is written, page by page")
    parser.add_argument("--updates", type=int, default=50)
    parser.add_argument("--page", type=int, help="characters of one (an equal share of the text)")
    parser.add_argument("--base-symbols", type=int, default=6_000_000, help="to make the base of")
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--units", type=int, default=96)
    parser.add_argument("--no-daemon", action="store_true", help="the trainer alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aw-") as scratch, ExitStack() as stack:
        os.environ["AFTERWORD_HOME"] = f"{scratch}/home"
        os.environ["AFTERWORD_BASE"] = f"{scratch}/base"
        finish("soak", soak(Path(scratch), options, stack))


def soak(scratch: Path, options: argparse.Namespace, stack: ExitStack) -> dict[str, Any]:
    paths = Paths.from_environment()
    pages = written(options)
    evenings, last = pages[: options.updates], "".join(pages[options.updates :])
    began = time.monotonic()
    base = make_base(scratch, paths.base, options)
    say(f"a base of {base.spec} in {time.monotonic() - began:.0f} s, {len(pages[0]):,} a page")
    notes = scratch / "notes"
    notes.mkdir()
    daemon = None if options.no_daemon else Attached(str(paths.data.parent), notes, pages, stack)

    # 1) the evenings
    rounds = []
    for number, text in enumerate(evenings):
        page = notes / f"evening-{number:03}.md"
        page.write_text(text, encoding="utf-8")
        os.utime(page, (1_700_000_000 + 86_400 * number,) * 2)
        rounds.append(update(paths, notes) | footprint(paths))
        if daemon:
            rounds[-1]["daemon_mb"] = daemon.type_on()
        say(row(number + 1, rounds[-1]))

    # 2) what it came to, on pages that nobody has learned
    in_use = model_in_use(paths)
    known = pages[: options.updates]
    found = {
        "text": str(options.text or "letters"),
        "page_characters": len(pages[0]),
        "base": str(base.spec),
        "passed": sum(one["passed"] for one in rounds),
        "updates": len(rounds),
        "network_bits": [round(scored(model, [], last)[0], 4) for model in (base, in_use)],
        "mix_bits": [round(scored(model, known, last)[0], 4) for model in (base, in_use)],
        "mix_ksr": [round(scored(model, known, last)[1], 2) for model in (base, in_use)],
    }
    say("unread pages, base and last: {network_bits} bits, {mix_bits} with memory".format(**found))
    if daemon:
        found["daemon_mb"] = daemon.figures(rounds)
        daemon.stop()

    # 3) made anew without one of its files, twice
    found["rebuilds_are_equal"] = rebuilt_twice(paths, notes / "evening-001.md", scratch)
    say(f"two rebuilds are equal: {found['rebuilds_are_equal']}")
    return {**found, "rounds": rounds}


def written(options: argparse.Namespace) -> list[str]:
    """Pages of real text: those to be learned, and the unread ones."""
    files = [options.text] if options.text else sorted((EXAMPLES / "1915-dear-enemy").iterdir())
    text = "\n\n".join(path.read_text(encoding="utf-8") for path in files).replace("\r", "")
    n_pages = options.updates + UNREAD_PAGES
    size = options.page or len(text) // n_pages
    if size * n_pages > len(text):
        raise SystemExit(f"there are {len(text):,} characters, and {size * n_pages:,} are needed")
    return [text[at : at + size] for at in range(0, size * n_pages, size)]


def make_base(scratch: Path, folder: Path, options: argparse.Namespace) -> Any:
    """A base model that knows a little, where AFTERWORD_BASE is."""
    from afterword_trainer import base
    from afterword_trainer.pretraining import pack

    manifest = scratch / "manifest.toml"
    manifest.write_text(MANIFEST.format(folder=EXAMPLES / "1912-daddy-long-legs"))
    shape = {"layers": options.layers, "units": options.units, "embedding": 32}
    # In a process of its own: here one thread is to be enough, and TensorFlow asks only once.
    subprocess.run(
        [
            *(sys.executable, "-m", "afterword_trainer.cli", "pretrain", str(manifest)),
            *("--out", str(scratch / "made"), "--symbols", str(options.base_symbols)),
            *("--precision", "float32", "--json"),
            *(f"--{name}={value}" for name, value in shape.items()),
        ],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    pack.pack(scratch / "made", folder)
    return base.load(folder)


def update(paths: Paths, notes: Path) -> dict[str, Any]:
    """One evening's update, as the daemon has it done."""
    from afterword_trainer import corpus, learn
    from afterword_trainer.plan import Request

    began = time.monotonic()
    request = Request(
        roots=[notes],
        rules=corpus.Rules(),
        work="updated",
        origin="current",
        precision="float32",
        threads=1,
    )
    learned = learn.update(request, paths, quiet())
    verdict = learned.verdict
    if verdict is None or verdict.before is None or verdict.after is None:
        raise SystemExit(f"nothing was compared: {learned}")
    return {
        "passed": learned.active,
        "reasons": verdict.reasons,
        "bits": [verdict.before.bits_per_character, verdict.after.bits_per_character],
        "ksr": [verdict.before.ksr, verdict.after.ksr],
        "seconds": round(time.monotonic() - began, 1),
    }


def footprint(paths: Paths) -> dict[str, Any]:
    """What lies on disk."""
    from afterword_trainer import ledger

    root = paths.data.parent
    sizes = {path: path.stat().st_size for path in root.rglob("*") if path.is_file()}
    return {
        "models": len([*paths.models.glob("you-*")]),
        "disk_kb": round(sum(sizes.values()) / 1000),
        "ledger_kb": round(sizes.get(paths.data / ledger.NAME, 0) / 1000, 1),
        "registry_kb": round(sizes.get(paths.data / "learned.json", 0) / 1000, 1),
        "left_in_runs": sorted(
            path.name for path in paths.runs.iterdir() if path.name not in ("lock", "lock.pid")
        ),
    }


def scored(model: Any, known: Sequence[str], text: str) -> tuple[float, float]:
    """Bits per character and keystrokes saved, percent, behind a memory of `known` pages."""
    from afterword_trainer import experts, gate
    from afterword_trainer.stream import Piece

    def piece(name: str, text: str) -> Piece:
        return Piece(path=f"notes/{name}.md", language="markdown", modified=0.0, text=text)

    mix = experts.of_bundle(model, [piece(f"{n}", page) for n, page in enumerate(known)])[0]
    found = gate.measure(model, mix, [piece("unread", text)], [], gate.Sizes()).measured()
    return found.bits_per_character or 0.0, found.ksr or 0.0


def rebuilt_twice(paths: Paths, page: Path, scratch: Path) -> bool:
    """Whether forgetting a page in two copies of the home gives the same weights."""
    from afterword_trainer import forget
    from afterword_trainer.shelf import Shelf

    weights = []
    for name in ("one", "other"):
        shutil.copytree(paths.data.parent, scratch / name)
        ours = Paths.from_environment({**os.environ, "AFTERWORD_HOME": str(scratch / name)})
        forget.forget(page, ours)
        request = forget.pending(ours)
        made = forget.rebuild(request, ours, quiet()) if request else None
        if made is None or made.id is None:
            raise SystemExit("nothing was made anew, so no update had passed")
        bundle = Shelf(ours.models).load(made.id)
        weights.append({name: array.tobytes() for name, array in bundle.weights.items()})
    return weights[0] == weights[1]


class Attached:
    """A daemon that watches the folder, and an editor in which somebody types."""

    def __init__(self, home: str, notes: Path, pages: Sequence[str], stack: ExitStack) -> None:
        from footprint import store_memory
        from keystroke import AFTERWORD, Editor, Typist, run_afterword, stop_daemon

        self._home, self._run, self._store = home, run_afterword, store_memory
        stack.callback(stop_daemon, home)
        run_afterword(home, "watch", "add", str(notes))
        self._editor = stack.enter_context(Editor(AFTERWORD, home))
        self._editor.open(pages[-1])
        self._typist = Typist(self._editor, "".join(pages), random.Random(0))

    def type_on(self) -> float:
        """Resident MB after some keys, by the model that is in use by then.

        The memory is stored, as it is after an evening: the next update compares with it.
        """
        import json

        self._store(self._home)
        for _ in range(KEYS):
            self._typist.key()
        return round(json.loads(self._run(self._home, "status", "--json"))["resident"] / 1e6, 1)

    def figures(self, rounds: Sequence[dict[str, Any]]) -> dict[str, float]:
        """Over all of it, and by how much the last quarter is above the third one."""
        values = [one["daemon_mb"] for one in rounds]
        quarter = max(1, len(values) // 4)
        third, last = values[-2 * quarter : -quarter], values[-quarter:]
        growth = round(median(last) / median(third) - 1, 4) if third else 0.0
        return {"first": values[0], "highest": max(values), "last": values[-1], "growth": growth}

    def stop(self) -> None:
        self._run(self._home, "stop")


def model_in_use(paths: Paths) -> Any:
    from afterword_trainer.shelf import Shelf

    bundle, notice = Shelf(paths.models, paths.base).current()
    if bundle is None or notice:
        raise SystemExit(f"the model in use cannot be read: {notice}")
    return bundle


def quiet() -> Any:
    from afterword_trainer.run import Listener

    return Listener(show=lambda record: None)


def row(number: int, found: dict[str, Any]) -> str:
    before, after = found["bits"]
    verdict = "passed" if found["passed"] else f"refused ({', '.join(found['reasons'])})"
    daemon = f", daemon {found['daemon_mb']} MB" if "daemon_mb" in found else ""
    return (
        f"{number:3} {before:.3f} -> {after:.3f} bits, {found['ksr'][0]:.1f} -> "
        f"{found['ksr'][1]:.1f} % keys: {verdict}; {found['models']} models, "
        f"{found['disk_kb']:,} KB, ledger {found['ledger_kb']}, {found['seconds']} s{daemon}"
    )


if __name__ == "__main__":
    sys.exit(main())
