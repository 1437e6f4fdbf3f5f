"""From a key to grey text on the screen of the real VS Code, beside its own completion of words.

    make editors vsix && .venv/bin/python benchmarks/editor_vscode.py > vscode.json

Needs what the tests of VS Code need, and runs in a home of its own. Each key is timed in the page:
from its `keydown` to the frame in which what it asked for is drawn. The key for grey text is the
Backspace that takes a slip back, since what is typed along is not asked for again; the key for a
word is its first letter. Both figures hold the browser's
own frames of 16.7 ms, and code-server's socket between page and extension, which the desktop
editor does not have.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles

ROOT = Path(__file__).resolve().parent.parent
for folder in ("editors", "editors/vscode", "end_to_end", "daemon", "trainer", "lsp"):
    sys.path.append(str(ROOT / "tests" / folder))

import bases  # noqa: E402
from homes import PHRASES, furnished, until  # noqa: E402
from windows import GHOST, Window, editing, packaged  # noqa: E402

N_RUNS = 60  # keys for each figure
# Until what a key has brought is drawn; the page itself takes the time.
TIMED = """(selector) => {
  const all = () => [...document.querySelectorAll(selector)];
  const shown = () => all().map((one) => one.textContent).join("|");
  window.afterwordTimes = [];
  document.addEventListener("keydown", () => {
    const pressed = performance.now(), before = shown();
    const look = () => {
      const now = shown();
      if (now && now !== before) window.afterwordTimes.push(performance.now() - pressed);
      else if (performance.now() - pressed < 5000) requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  }, true);
}"""


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        base = bases.make(Path(folder) / "base")
        vsix = packaged(Path(folder))
        size = vsix.stat().st_size
        bundle = ROOT / "editors" / "vscode" / "dist" / "extension.js"
        words = {"[plaintext]": {"editor.wordBasedSuggestions": "currentDocument"}}
        off = {"afterword.enable": {"*": True, "plaintext": False}}
        with furnished(base) as home, editing(home, vsix, **words, **off) as editor:
            window = editor.window(home.file("ghost.md"), size=(1000, 2000)).ready()
            activation_ms = activation(window)
            ghost = timed(
                window, f".view-line {GHOST}", lambda n: PHRASES[n % 3][0] + "x", "Backspace"
            )
            names = "\n".join(f"quizzical{n:03}" for n in range(N_RUNS))
            window.open(home.file("words.txt", f"{names}\n"))
            popup = timed(window, ".suggest-widget.visible .monaco-list-row", lambda n: "", "q")
    report = {
        "key_to_ghost_text_ms": summary(ghost),
        "key_to_word_completion_ms": summary(popup),
        "activation_ms": activation_ms,
        "bundle_bytes": bundle.stat().st_size,
        "vsix_bytes": size,
    }
    print(json.dumps(report, indent=2))
    return 0


def timed(window: Window, selector: str, text: Callable[[int], str], key: str) -> list[float]:
    """Milliseconds from a key behind a text until something new is drawn, run by run."""
    window.see(TIMED, selector)
    drawn = f"() => document.querySelectorAll('{selector}').length"
    found: list[float] = []
    for n in range(N_RUNS):
        window.press("Escape", "End", "Enter")
        window.type(text(n))
        until(lambda: not window.see(drawn), "a screen without it")
        window.see("() => { window.afterwordTimes = []; }")
        window.press(key)
        until(lambda: window.see("() => window.afterwordTimes.length"), "what the key asked for")
        found.append(float(window.see("() => window.afterwordTimes[0]")))
        window.press("Tab")  # a line that breaks off would be learned as one
    return found


def activation(window: Window) -> float:
    """Milliseconds that the editor says it took to activate the extension."""
    window.command("Developer: Show Running Extensions")
    script = (
        "() => [...document.querySelectorAll('.monaco-list-row')]"
        ".map((row) => row.textContent).find((text) => text.startsWith('Afterword'))"
    )
    row = until(lambda: window.see(script), "the extension in the list")
    window.leave_file()
    window.focus()
    return float(str(row).split("Activation:")[1].split("ms")[0])


def summary(times: list[float]) -> dict[str, float]:
    cuts = quantiles(times, n=100)
    return {"n": len(times), "p50": round(cuts[49], 1), "p95": round(cuts[94], 1)}


if __name__ == "__main__":
    sys.exit(main())
