"""The real VS Code: code-server in a home of the tests, and windows of it in a headless browser.

Knows how the editor is started, where on its screen things are, and which keys do what. A window
is asked for states until they are so; nothing waits for a time.
"""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import homes
from homes import ROOT, Home, tool

EXTENSION = ROOT / "editors" / "vscode"
PICTURES = EXTENSION / "pictures"
QUIET: dict[str, Any] = {
    "chat.disableAIFeatures": True,
    "editor.minimap.enabled": False,
    "editor.wordBasedSuggestions": "off",
    "extensions.autoUpdate": False,
    "editor.unusualLineTerminators": "off",
    "files.autoSave": "off",
    "git.enabled": False,
    "security.workspace.trust.enabled": False,
    "telemetry.telemetryLevel": "off",
    "window.commandCenter": False,
    "workbench.colorTheme": "Default Dark Modern",
    "workbench.editor.useModal": "off",
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "workbench.startupEditor": "none",
    "workbench.tips.enabled": False,
    "workbench.welcomePage.walkthroughs.openOnInstall": False,
}
# A browser without a graphics card opens the editor in seconds, on a busy machine in minutes.
PATIENCE_S = 180.0
until = partial(homes.until, within_s=PATIENCE_S)
GHOST = '[class*="ghost-text"]'
POPUP = ".suggest-widget.visible .monaco-list-row"
STATUS = '[id="afterword.afterword.afterword.status"]'


def node() -> Path:
    """The Node that code-server needs."""
    return tool("vscode/node/node_modules/node/bin/node", "VS Code")


def entry() -> Path:
    """What it runs."""
    return tool("vscode/code-server/node_modules/code-server/out/node/entry.js", "VS Code")


def packaged(folder: Path) -> Path:
    """The extension as it is now, as a .vsix made in `folder`; skips where it cannot be made."""
    import pytest

    if not (EXTENSION / "node_modules").is_dir():
        pytest.skip("the extension for VS Code cannot be built: make vsix")
    npm = shutil.which("npm")
    assert npm
    made = folder / "afterword.vsix"
    done = subprocess.run(
        [npm, "run", "package", "--silent", "--", "--out", str(made)],
        cwd=EXTENSION,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return made


class Browser:
    """A headless browser and what is open in it."""

    def __init__(self, home: Home) -> None:
        driver = tool("vscode/driver", "VS Code")
        chromium = tool("chromium", "Chromium")
        script = Path(__file__).with_name("driver.mjs")
        command = (node(), script, driver, chromium, str(_PATIENCE_MS))
        self.process = home.start(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def do(self, operation: str, **given: Any) -> Any:
        """One operation of `driver.mjs`. Fails with what it says."""
        assert self.process.stdin
        assert self.process.stdout
        line = json.dumps({"operation": operation, **given}) + "\n"
        self.process.stdin.write(line.encode())
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or '{"error": "the browser is gone"}')
        assert "error" not in answer, f"{operation}: {answer['error']}"
        return answer["result"]

    def close(self) -> None:
        """End it, so that nothing of it is left when the home goes."""
        assert self.process.stdin
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE_S)


class Editor:
    """VS Code in one home: its server, its settings, and any number of windows."""

    def __init__(
        self,
        home: Home,
        vsix: Path,
        settings: dict[str, Any],
        *,
        has_server: bool = True,
        of_machine: Mapping[str, Any] | None = None,
    ) -> None:
        """`of_machine` are settings of the kind that a remote window takes from there alone."""
        self.home = home
        if has_server:
            self.install_server()
        self.data = home.user / "code"
        self.extensions = home.user / "extensions"
        self.n_settings = 0  # how often they were changed
        self.settings_file = self.data / "User" / "settings.json"
        self.settings_file.parent.mkdir(parents=True)
        self.settings_file.write_text(json.dumps(QUIET | settings), encoding="utf-8")
        of_machine_file = self.data / "Machine" / "settings.json"
        of_machine_file.parent.mkdir()
        of_machine_file.write_text(json.dumps(of_machine or {}), encoding="utf-8")
        installed = home.run(
            node(), entry(), *self._folders(), "--install-extension", vsix, variables=_NO_GALLERY
        )
        assert "was successfully installed" in installed.stdout, installed.stdout + installed.stderr
        self.port = _free_port()
        config = home.user / "code-server.yaml"
        config.write_text("auth: none\n")
        home.start(
            node(),
            entry(),
            "--config",
            config,
            "--bind-addr",
            f"127.0.0.1:{self.port}",
            "--auth",
            "none",
            "--disable-telemetry",
            "--disable-update-check",
            "--disable-getting-started-override",
            *self._folders(),
            variables=_NO_GALLERY,
        )
        until(self._serves, "code-server to serve")
        self.browser = Browser(home)

    def _folders(self) -> Sequence[str | Path]:
        return "--user-data-dir", self.data, "--extensions-dir", self.extensions

    def _serves(self) -> bool:
        with suppress(OSError), urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5):
            return True
        return False

    def read_settings(self) -> dict[str, Any]:
        """As they are on disk, where the editor writes too."""
        found: dict[str, Any] = json.loads(self.settings_file.read_text(encoding="utf-8"))
        return found

    def install_server(self, gate: Path | None = None) -> None:
        """Where pipx and uv put tools: code-server takes PATH from a login shell of its own.

        With a gate the server begins to run once there is that file.
        """
        programs = self.home.user / ".local" / "bin"
        programs.mkdir(parents=True)
        for name in ("afterword-lsp", "trainer"):
            (programs / name).symlink_to(self.home.server.with_name(name))
        if gate:
            slow = programs / "afterword-lsp"
            slow.unlink()
            wait = f"until [ -e '{gate}' ]; do sleep 0.05; done"
            slow.write_text(f"#!/bin/sh\n{wait}\nexec '{self.home.server}' \"$@\"\n")
            slow.chmod(0o700)

    def window(
        self,
        file: Path | None = None,
        *,
        folder: Path | None = None,
        size: tuple[int, int] = (1000, 640),
    ) -> "Window":
        """A new one, with a file open in it."""
        where = f"http://127.0.0.1:{self.port}/?folder={quote(str(folder or self.home.work))}"
        if file:
            opened = f"vscode-remote://127.0.0.1:{self.port}{file}"
            where += f"&payload={quote(json.dumps([['openFile', opened]]))}"
        page = self.browser.do("open", url=where, width=size[0], height=size[1])
        return Window(self, page, file)

    def log(self) -> str:
        """What the extension has written down."""
        logs = sorted(self.data.glob("logs/**/Afterword.log"), key=lambda log: log.stat().st_mtime)
        return "".join(log.read_text(encoding="utf-8", errors="replace") for log in logs)

    def close(self) -> None:
        """Its windows; what else there is ends with the home."""
        self.browser.close()


class Window:
    """One window, as somebody in front of it sees it."""

    def __init__(self, editor: Editor, page: int, file: Path | None) -> None:
        self.editor = editor
        self.page = page
        self.file = file

    # -- what is done in it --------------------------------------------------------------------

    def do(self, operation: str, **given: Any) -> Any:
        return self.editor.browser.do(operation, page=self.page, **given)

    def type(self, text: str, *, delay_ms: float = 0) -> None:
        """As keys, one after the other."""
        self.do("type", text=text, delay=delay_ms)

    def press(self, *keys: str) -> None:
        self.do("press", keys=keys)

    def open(self, file: Path) -> "Window":
        """Another file, by its path, with the cursor at its end."""
        self.ask_by("Control+p")
        self.do("insert", text=str(file))
        entry = "(name) => document.querySelector('.quick-input-list .monaco-list-row')"
        self.wait(f"{entry}?.ariaLabel?.startsWith(name)", f"{file.name} in the list", file.name)
        self.press("Enter")
        tab = "(name) => document.querySelector('.tab.active')?.ariaLabel?.startsWith(name)"
        self.wait(tab, f"a tab of {file.name}", file.name)
        self.file = file
        return self.focus()

    def ask_by(self, key: str) -> None:
        """Open the list that a key opens, with the cursor in its field."""

        def is_asking() -> bool:
            self.press(key)  # once more if it was lost: a window that is busy takes no keys
            with suppress(AssertionError):
                self.do("wait", script=_IS_ASKING, timeout=_MOMENT_MS)
            return bool(self.see(_IS_ASKING))

        until(is_asking, f"the list of {key}")

    def set(self, settings: Mapping[str, Any]) -> None:
        """Have these settings and no others, written as a user writes them."""
        before = self.file
        self.editor.n_settings += 1
        mark = {"a test": self.editor.n_settings}  # by which these are told from those before
        text = json.dumps(mark | QUIET | settings)
        # Not the file itself: what is written to that behind the editor's back it may not notice.
        self.command("Preferences: Open User Settings (JSON)")
        tab = "() => document.querySelector('.tab.active')?.ariaLabel?.startsWith('settings.json')"
        self.wait(tab, "a tab of the settings")
        self.focus()
        self.see("(text) => navigator.clipboard.writeText(text)", text)

        def is_pasted() -> bool:
            self.press("Control+a", "Control+v")
            return self.is_soon(lambda: json.dumps(mark)[1:-1] in "".join(self.lines))

        def is_saved() -> bool:
            self.press("Control+s")
            file = self.editor.settings_file
            return self.is_soon(lambda: file.read_text(encoding="utf-8") == text)

        until(is_pasted, "the settings in the text")
        until(is_saved, "the settings on disk")
        self.leave_file()
        if before:
            self.open(before)

    def is_soon(self, condition: Callable[[], bool]) -> bool:
        """Whether it holds within a moment."""
        with suppress(AssertionError):
            until(condition, "it", within_s=_MOMENT_MS / 1000)
        return condition()

    def leave_file(self) -> None:
        """Close the file as it is on disk: what is in it is forgotten."""
        n_tabs = "() => document.querySelectorAll('.editor-group-container .tab').length"
        before = self.see(n_tabs)
        self.press("Escape")
        self.command("Revert and Close Editor")
        self.wait(f"(before) => ({n_tabs})() < before", "the file to be closed", before)

    def focus(self) -> "Window":
        """Have the keys go to the text; the cursor is at its end then."""

        def is_focused() -> bool:
            self.press("Control+1")
            focused = "() => document.querySelector('.editor-instance .monaco-editor.focused')"
            return bool(self.see(f"{focused} !== null"))

        until(is_focused, "the cursor in the text")
        self.press("Control+End")
        return self

    def ready(self) -> "Window":
        """Wait until suggestions can come, and put the cursor at the end."""
        self.until_status("Ready")
        self.focus()
        return self

    def click_status(self) -> None:
        """The item in the status bar."""
        self.do("click", selector=STATUS, timeout=_PATIENCE_MS)

    def command(self, title: str) -> None:
        """By the palette, as one types it."""
        self.choose(title)
        self.press("Enter")

    def choose(self, title: str) -> None:
        """Have a command chosen in the palette: Enter runs it."""
        self.ask_by("F1")
        self.type(title)
        self.wait(
            "(title) => [...document.querySelectorAll('.quick-input-list .monaco-list-row')][0]"
            "?.ariaLabel?.includes(title)",
            f"the command {title}",
            title,
        )

    def save(self) -> bytes:
        """Save the file; what it holds then."""
        assert self.file
        self.press("Control+s")
        clean = "() => !document.querySelector('.tab.active.dirty')"
        self.wait(clean, "the file to be saved")
        return self.file.read_bytes()

    def answer(self, button: str) -> None:
        """Press a button of a dialog or of a message."""
        self.do("click", selector=f'.monaco-button:has-text("{button}")', timeout=_PATIENCE_MS)

    def picture(self, name: str) -> Path:
        """A screenshot, once nothing moves; for the README if it has none, or one is asked for."""
        path, seen = self.editor.home.user / name, b""

        def is_still() -> bool:
            nonlocal seen
            before = seen
            self.do("screenshot", path=str(path))
            seen = path.read_bytes()
            return seen == before and not self.see(_MOVES)

        until(is_still, "a screen on which nothing moves")
        kept = PICTURES / name
        if os.environ.get("AFTERWORD_PICTURES") or not kept.exists():
            shutil.copyfile(path, kept)
        return path

    # -- what is seen in it --------------------------------------------------------------------

    def see(self, script: str, argument: Any = None) -> Any:
        """What a function in the page gives."""
        return self.do("evaluate", script=script, argument=argument)

    def wait(
        self, script: str, what: str, argument: Any = None, within_s: float = PATIENCE_S
    ) -> Any:
        """Until a function in the page gives something; what."""
        found = f"(given) => {{ const found = ({script})(given); return found ? [1] : 0; }}"
        try:
            self.do("wait", script=found, argument=argument, timeout=1000 * within_s)
        except AssertionError as error:
            with suppress(AssertionError):
                self.do("screenshot", path=str(self.editor.home.user / "failed.png"))
                if kept := os.environ.get("AFTERWORD_FAILED"):
                    shutil.copy(self.editor.home.user / "failed.png", kept)
            raise AssertionError(f"waited in vain for {what}: {error}") from None

    @property
    def ghost(self) -> str:
        """The grey text; "" if there is none."""
        return str(self.see(_GHOST))

    def until_ghost(self, text: str) -> None:
        """Wait until this is the grey text; "" for none."""
        try:
            self.wait(f"(text) => ({_GHOST})() === text", f"the grey text {text!r}", text)
        except AssertionError as error:
            why = self.editor.home.status()
            raise AssertionError(f"{error}; it is {self.ghost!r}, {self.status!r}, {why}") from None

    def until_ghost_of(self, text: str) -> str:
        """Wait until the grey text is this, or the beginning of it; the grey text."""

        def beginning() -> str:
            ghost = self.ghost
            return ghost if text.startswith(ghost) else ""

        return until(beginning, f"grey text of {text!r}")

    def soon_ghost(self) -> str:
        """The grey text, or "" if none comes within a moment."""
        with suppress(AssertionError):
            self.do("wait", script=f"() => ({_GHOST})()", timeout=_MOMENT_MS)
        return self.ghost

    def until_back(self, half: str, rest: str) -> int:
        """Type lines until one is gone on with as it was before; how many it took.

        The editor asks for grey text at keys alone, and whoever answers may just begin to run.
        """
        lines = 0

        def is_back() -> bool:
            nonlocal lines
            lines += 1
            self.press("Escape", "End", "Enter")
            self.type(half)
            return self.soon_ghost() == rest

        until(is_back, f"the grey text {rest!r} again")
        return lines

    def record_ghost(self) -> None:
        """From now on, note each grey text that a frame shows."""
        self.see(
            f"() => {{ const look = {_GHOST}; const seen = [look()]; window.afterwordSeen = seen;"
            " const step = () => { const now = look();"
            " if (now !== seen.at(-1)) seen.push(now);"
            " if (window.afterwordSeen === seen) requestAnimationFrame(step); };"
            " requestAnimationFrame(step); }"
        )

    def recorded_ghost(self) -> list[str]:
        """Those that were noted, and no more from now on."""
        script = (
            f"() => {{ const now = ({_GHOST})(); const seen = window.afterwordSeen;"
            " if (now !== seen.at(-1)) seen.push(now);"  # what the next frame would have noted
            " window.afterwordSeen = null; return seen; }"
        )
        return list(self.see(script))

    def record_bar(self) -> None:
        """From now on, note what the status bar says, however short."""
        self.see(
            "() => { const bar = document.querySelector('.statusbar');"
            " window.afterwordBar = new Set();"
            " const look = () => window.afterwordBar.add(bar.textContent.replace(/\\u00a0/g, ' '));"
            " const all = { subtree: true, childList: true, characterData: true };"
            " new MutationObserver(look).observe(bar, all); }"
        )

    def recorded_bar(self) -> str:
        """All of that."""
        return str(self.see("() => [...window.afterwordBar].join('\\n')"))

    def until_lines(self, lines: Sequence[str]) -> None:
        """Wait until this is the text on the screen."""
        until(lambda: self.lines == [*lines], f"the lines {lines!r}")

    @property
    def lines(self) -> list[str]:
        """The text on the screen, line by line, without what is grey."""
        return list(self.see(_LINES))

    @property
    def status(self) -> str:
        """What the item in the status bar says to those who cannot see it."""
        return str(self.see(f"() => ({_STATUS})()"))

    def until_status(self, part: str) -> None:
        """Wait until the item says this."""
        try:
            until(lambda: part in self.status, f"the status {part!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.status!r}") from None

    @property
    def notifications(self) -> list[str]:
        """Messages that have popped up."""
        return list(
            self.see(
                "() => [...document.querySelectorAll('.notification-list-item-message')]"
                ".map((one) => one.textContent)"
            )
        )

    def until_text(self, part: str, where: str = ".monaco-workbench") -> None:
        """Wait until a part of the screen shows this."""
        script = "([part, where]) => document.querySelector(where)?.textContent.includes(part)"
        self.wait(script, f"{part!r} on the screen", [part, where])

    def until_notified(self, part: str, within_s: float = PATIENCE_S) -> None:
        """Wait until a message says this."""
        self.wait(
            "(part) => [...document.querySelectorAll('.notification-list-item-message')]"
            ".some((one) => one.textContent.includes(part))",
            f"a message {part!r}",
            part,
            within_s,
        )

    def page_text(self, part: str) -> str:
        """The text of a page that the editor shows, such as a preview; "" if none has this part."""
        return str(self.see(_PAGE, part))

    def close(self) -> None:
        """As one closes a tab of the browser."""
        self.do("close")


@contextmanager
def editing(
    home: Home,
    vsix: Path,
    *,
    has_server: bool = True,
    of_machine: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Iterator[Editor]:
    """VS Code in a home, until the block ends."""
    editor = Editor(home, vsix, settings, has_server=has_server, of_machine=of_machine)
    try:
        yield editor
    finally:
        editor.close()


_PATIENCE_MS = 1000 * PATIENCE_S
_MOMENT_MS = 2000
_NO_GALLERY = {"EXTENSIONS_GALLERY": "{}"}
# Blanks of the text are no-break spaces on the screen, and some are drawn as dots.
_PLAIN = "replace(/[\\u00a0\\u00b7]/g, ' ')"
_GHOST = (
    "() => [...document.querySelectorAll('.view-line [class*=\"ghost-text\"]')]"
    ".filter((one) => !one.parentElement.closest('[class*=\"ghost-text\"]'))"
    f".map((one) => one.textContent).join('').{_PLAIN}"
)
_LINES = (
    "() => [...document.querySelectorAll('.editor-instance .view-line')]"
    ".sort((a, b) => parseFloat(a.style.top) - parseFloat(b.style.top)).map((line) => {"
    " const copy = line.cloneNode(true);"
    " copy.querySelectorAll('[class*=\"ghost-text\"]').forEach((one) => one.remove());"
    f" return copy.textContent.{_PLAIN}; }})"
)
_IS_ASKING = "() => document.activeElement?.closest('.quick-input-widget')"
# Pages are in a frame of a frame.
_PAGE = (
    "(part) => [...document.querySelectorAll('iframe.webview')].map((frame) =>"
    " frame.contentDocument?.querySelector('#active-frame')?.contentDocument?.body?.innerText)"
    ".find((text) => text?.includes(part)) ?? ''"
)
_MOVES = (
    "() => document.getAnimations().some((one) => one.playState === 'running'"
    " && Number.isFinite(one.effect?.getComputedTiming().endTime))"
)
_STATUS = (
    "() => { const item = document.getElementById('afterword.afterword.afterword.status');"
    " return item?.querySelector('[aria-label]')?.ariaLabel ?? item?.ariaLabel ?? ''; }"
)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
