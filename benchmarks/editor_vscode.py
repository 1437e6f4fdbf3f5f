"""From a key to grey text on the screen of the real VS Code, beside its own completion of words.

    make editors vsix && .venv/bin/python benchmarks/editor_vscode.py > vscode.json

Needs what the tests of VS Code need, and runs in a home of its own. Each key is timed in the page:
from its `keydown` to the frame in which what it asked for is drawn. What is typed along is not
asked for again; so the keys for grey text are the letter of a new line after which the first of it
appears, and the Backspace that takes a slip back. The key for a word is its first letter; once
where the editor asks for words at once, once as it does by default, when it waits for grey text
and sees that there is none. All hold the browser's own frames of 16.7 ms and code-server's socket
between page and extension, which the desktop editor does not have; those for grey text hold the
50 ms for which VS Code waits before it asks any extension.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import quantiles

ROOT = Path(__file__).resolve().parent.parent
for folder in ("editors", "editors/vscode", "end_to_end", "daemon", "trainer", "lsp"):
    sys.path.append(str(ROOT / "tests" / folder))

import bases  # noqa: E402
from homes import PHRASES, furnished, until  # noqa: E402
from windows import GHOST, Window, editing, packaged  # noqa: E402

N_RUNS = 60  # keys for each figure
MOST_MS = 1000  # for a key that may bring nothing
GREY = f".view-line {GHOST}"
WORDS = ".suggest-widget.visible .monaco-list-row"
# Until what the last key has brought is drawn; the page itself takes the time.
TIMED = """(selector) => {
  const all = () => [...document.querySelectorAll(selector)];
  const shown = () => all().map((one) => one.textContent).join("|");
  document.addEventListener("keydown", (event) => {
    const pressed = performance.now(), before = shown();
    window.afterwordKey = event;
    window.afterwordTime = 0;
    const look = () => {
      if (window.afterwordKey !== event) return;
      const now = shown();
      if (now && now !== before) window.afterwordTime = performance.now() - pressed;
      else requestAnimationFrame(look);
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
        words = {"editor.wordBasedSuggestions": "currentDocument"}
        languages = {
            "[plaintext]": words | {"editor.quickSuggestions": {"other": "on"}},
            "[ini]": words,
        }
        off = {"afterword.enable": {"*": False, "markdown": True}}
        with furnished(base) as home, editing(home, vsix, **languages, **off) as editor:
            window = editor.window(home.file("ghost.md"), size=(1000, 2000)).ready()
            activation_ms = activation(window)
            slip = timed(window, GREY, lambda n: PHRASES[n % 3][0] + "x", lambda n: ["Backspace"])
            window.leave_file()
            window.open(home.file("letters.md"))
            letter = timed(window, GREY, lambda n: "", lambda n: PHRASES[n % 3][0])
            names = "\n".join(f"quizzical{n:03}" for n in range(N_RUNS))
            window.open(home.file("words.txt", f"{names}\n"))
            word = timed(window, WORDS, lambda n: "", lambda n: "q")
            window.open(home.file("words.ini", f"{names}\n"))
            waiting = timed(window, WORDS, lambda n: "", lambda n: "q")
    report = {
        "letter_to_ghost_text_ms": summary(letter),
        "backspace_to_ghost_text_ms": summary(slip),
        "letter_to_word_completion_ms": summary(word),
        "letter_to_word_completion_that_waits_for_ghost_text_ms": summary(waiting),
        "activation_ms": activation_ms,
        "bundle_bytes": bundle.stat().st_size,
        "vsix_bytes": size,
    }
    print(json.dumps(report, indent=2))
    return 0


def timed(
    window: Window, selector: str, text: Callable[[int], str], keys: Callable[[int], Sequence[str]]
) -> list[float]:
    """Milliseconds from a key behind a text until something new is drawn, run by run.

    Of `keys` it is the first that brings anything.
    """
    window.see(TIMED, selector)
    drawn = f"() => document.querySelectorAll('{selector}').length"
    found: list[float] = []
    for n in range(N_RUNS):
        window.press("Escape", "End", "Enter")
        window.type(text(n))
        until(lambda: not window.see(drawn), "a screen without it")
        for key in keys(n):
            window.press("Space" if key == " " else key)
            with suppress(AssertionError):
                window.do("wait", script="() => window.afterwordTime", timeout=MOST_MS)
            if time_ms := float(window.see("() => window.afterwordTime")):
                found.append(time_ms)
                break
        window.press("Tab")  # a line that breaks off would be learned as one
    assert len(found) > N_RUNS / 2, found
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
