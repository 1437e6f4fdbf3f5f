"""How long a key takes until ghost text is on Neovim's screen, and what the plug-in adds at start.

    .venv/bin/python benchmarks/editors_neovim.py [--text FILE] [--keys 400] [--interval-ms 120]

A real Neovim (`make editors`) draws to us as to a terminal. Of passages of the text each key is
typed alone, in insert mode, with the daemon and the shipped model behind the plug-in; its time ends
when a picture with ghost text arrives that was not there before the key, whether the text shrank
or was asked for. Keys after which nothing is suggested have no time, and are counted. After each
passage Neovim's own keyword completion (CTRL-N) is asked for in the same place, until its menu is
on the screen. Start-up is `--startuptime` with the plug-in and without it, in turns.
"""

import argparse
import random
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stopwatch import finish, say

ROOT = Path(__file__).resolve().parent.parent
for folder in ("trainer", "daemon", "lsp", "end_to_end", "editors", "editors/neovim"):
    sys.path.append(str(ROOT / "tests" / folder))

from afterword_trainer.paths import SHIPPED_BASE  # noqa: E402
from homes import TOOLS, Home, furnished, until  # noqa: E402
from neovims import PLUGIN, Neovim, Picture  # noqa: E402

PASSAGE = 40  # keys at one place
ANSWER_S = 0.5  # for a key; nothing that comes later was for it
MOST_STARTUP_MS = 50.0
STARTS = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--text", type=Path, help="what is typed, and where")
    parser.add_argument("--keys", type=int, default=400)
    parser.add_argument("--interval-ms", type=float, default=120.0, help="between two keys")
    parser.add_argument("--version", default="0.12", choices=("0.12", "0.11"))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    files = [options.text] if options.text else sorted((ROOT / "examples").rglob("*.txt"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in files).replace("\r", "")
    program = TOOLS / "neovim" / options.version / "bin" / "nvim"
    if not program.exists():
        sys.exit("Neovim is not set up: make editors")
    found: dict[str, Any] = {"keys": options.keys, "interval_ms": options.interval_ms}
    with furnished(SHIPPED_BASE, "base") as home:
        found["startup_ms"] = startup(home, program)
        say(f"start-up: {found['startup_ms']}")
        found |= keys(home, options, text)
    finish("editors_neovim", found)


# -- keys --------------------------------------------------------------------------------------


def keys(home: Home, options: argparse.Namespace, text: str) -> dict[str, Any]:
    """What becomes of each key, and how long the editor's own completion takes beside."""
    rng = random.Random(options.seed)
    interval_s = options.interval_ms / 1000
    note = home.file("note.md", text[:20_000])
    # As small a menu as the other is a text: neither is slow by what it draws.
    nvim = Neovim(home, options.version, note, init="set noshowmode noswapfile pumheight=5").ready()
    times: dict[str, list[float]] = {"asked": [], "typed_along": [], "keyword_completion": []}
    n_silent = 0
    try:
        for _ in range(options.keys // PASSAGE):
            at = rng.randrange(20_000, len(text) - 2 * PASSAGE)
            passage = " ".join(text[at : at + 2 * PASSAGE].split())[:PASSAGE]
            nvim.keys("<Esc>Go")
            until(lambda: nvim.call("nvim_get_mode")["mode"] == "i", "insert mode")
            for key in passage:
                time.sleep(interval_s)  # of a person
                was_shown = nvim.ghost[:1] == key and len(nvim.ghost) > 1
                took_s = seconds(nvim, "<lt>" if key == "<" else key, lambda p: bool(p.ghost))
                if took_s is None:
                    n_silent += 1
                else:
                    times["typed_along" if was_shown else "asked"].append(took_s)
            time.sleep(interval_s)
            nvim.keys("<C-w>")  # a word, so that there are others to complete it by
            nvim.keys(passage.split()[-1][:1] if passage.split() else "t")
            time.sleep(interval_s)
            menu_s = seconds(nvim, "<C-n>", lambda p: "Pmenu" in kinds(p))
            if menu_s is not None:
                times["keyword_completion"].append(menu_s)
            nvim.keys("<C-e>")
            say(f"{len(times['asked'])} asked, {len(times['typed_along'])} typed along")
    finally:
        nvim.quit()
    return {"n_silent": n_silent} | {f"{name}_ms": centiles(v) for name, v in times.items()}


def seconds(nvim: Neovim, key: str, is_there: Callable[[Picture], bool]) -> float | None:
    """From a key to the first picture that has it and what is looked for; None if none comes."""
    pictures = nvim.screen.pictures
    del pictures[:-1]
    before = pictures[-1]
    began = time.perf_counter()
    nvim.keys(key)
    while time.perf_counter() < began + ANSWER_S:
        for picture in pictures[1:]:
            has_key = picture.cursor != before.cursor or key == "<C-n>"
            if has_key and is_there(picture):
                return picture.at_s - began
        time.sleep(0.0005)
    return None


def kinds(picture: Picture) -> set[str]:
    """The groups that are on the screen, by name."""
    return {picture.names.get(id, "") for row in picture.cells for _, id in row}


def centiles(times: list[float]) -> dict[str, float]:
    """In milliseconds."""
    if not times:
        return {"n": 0}
    ordered = sorted(times)
    return {
        "p50": round(1000 * ordered[len(ordered) // 2], 2),
        "p95": round(1000 * ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)], 2),
        "n": len(ordered),
    }


# -- start-up ----------------------------------------------------------------------------------


def startup(home: Home, program: Path) -> dict[str, float]:
    """Milliseconds until Neovim has drawn its first screen, and until it has ended."""
    note = home.file("start.md", "# A note\n")
    log = home.folder / "startup.log"
    found: dict[str, list[float]] = {"without": [], "with": []}
    ends: dict[str, list[float]] = {"without": [], "with": []}
    for _ in range(STARTS):
        for name, path in {"without": [], "with": ["--cmd", f"set rtp^={PLUGIN}"]}.items():
            log.unlink(missing_ok=True)
            # It ends by a timer: the plug-in begins when Neovim is idle, and is to be at work.
            command = [program, "--headless", "--clean", *path, "--startuptime", log, note]
            end = "lua vim.defer_fn(function() _G.t = vim.uv.hrtime() vim.cmd.qall() end, 1500)"
            leave = "lua vim.api.nvim_create_autocmd('VimLeave', { callback = function()"
            leave += " io.stdout:write((vim.uv.hrtime() - _G.t) / 1e6) end })"
            result = home.run(*command, "-c", leave, "-c", end)
            lines = re.findall(r"^(\d+\.\d+).*NVIM STARTED", log.read_text(), re.MULTILINE)
            found[name].append(float(lines[-1]))
            ends[name].append(float(re.findall(r"[\d.]+", result.stdout)[-1]))
    # What is left to do then, when Neovim is idle: load its client, and start the server.
    attach = "lua local t = vim.uv.hrtime() require('afterword.server').attach(0)"
    attach += " io.stdout:write((vim.uv.hrtime() - t) / 1e6) vim.cmd.qall()"
    command = [program, "--headless", "--clean", "--cmd", f"set rtp^={PLUGIN}", note, "-c", attach]
    later = [float(re.findall(r"[\d.]+", home.run(*command).stdout)[-1]) for _ in range(STARTS)]
    middle = {name: sorted(values)[STARTS // 2] for name, values in found.items()}
    ended = {f"quit_{name}": round(sorted(v)[STARTS // 2], 2) for name, v in ends.items()}
    added = round(middle["with"] - middle["without"], 2)
    return (
        middle
        | {"added": added, "most": MOST_STARTUP_MS, "when_idle": sorted(later)[STARTS // 2]}
        | ended
    )


if __name__ == "__main__":
    main()
