"""A terminal that a program believes in: keys go in, and what stands on the screen comes out.

It is tmux, with a socket of its own in a test's home. Knows keys and screens; knows no editor.
"""

import time
from collections.abc import Callable
from pathlib import Path

from homes import Home, until

COLUMNS, ROWS = 100, 30
NOW_AND_THEN_S = 3.0  # longer than an editor takes that is not held up
# Escape is to be Escape at once; nothing but the program is to be on the screen.
SETTINGS = "set -s escape-time 0\nset -g status off\nset -g default-terminal tmux-256color\n"


class Terminal:
    """One program on a screen, which ends with its home."""

    def __init__(self, home: Home, *command: str | Path, cwd: Path | None = None) -> None:
        self._home = home
        self._socket = home.folder / "tmux"
        settings = home.folder / "tmux.conf"
        settings.write_text(SETTINGS, encoding="utf-8")
        size = ("-x", str(COLUMNS), "-y", str(ROWS))
        words = [str(word) for word in command]
        self._tmux(
            "-f", str(settings), "new-session", "-d", *size, "-c", str(cwd or home.work), *words
        )

    def keys(self, *names: str) -> None:
        """Press keys by the names that tmux has for them: `Enter`, `C-x`, `M-Tab`."""
        self._tmux("send-keys", *names)

    def type(self, text: str) -> None:
        """Type a text, character by character."""
        self._tmux("send-keys", "-l", text)

    @property
    def screen(self) -> str:
        """What can be read, without colours; "" once the program has ended."""
        return self._tmux("capture-pane", "-p", is_patient=True)

    def until_shows(self, text: str, *, meanwhile: Callable[[], None] | None = None) -> None:
        """Wait until that can be read. Fails with what is there instead.

        `meanwhile` is done now and then, as long as it cannot.
        """
        next_time = time.monotonic() + NOW_AND_THEN_S

        def shows() -> bool:
            nonlocal next_time
            if text in self.screen:
                return True
            if meanwhile and time.monotonic() > next_time:
                next_time = time.monotonic() + NOW_AND_THEN_S
                meanwhile()
            return False

        self._until(shows, f"{text!r} to be shown")

    def until_without(self, text: str) -> None:
        """Wait until that cannot be read any more."""
        self._until(lambda: text not in self.screen, f"{text!r} to disappear")

    def until_ended(self) -> None:
        """Wait until the program has ended."""
        self._until(lambda: not self.screen, "the program to end")

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            until(condition, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; there is:\n{self.screen}") from None

    def _tmux(self, *words: str, is_patient: bool = False) -> str:
        result = self._home.run("tmux", "-S", self._socket, *words)
        assert is_patient or result.returncode == 0, result.stderr
        return result.stdout
