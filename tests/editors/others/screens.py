"""A screen that nobody sees, for programs with windows: keys go in, and where something is drawn
comes out.

It is Xvfb, as `make editors` puts it beside Kate. Knows keys and pixels; knows no editor.
"""

import struct
import subprocess
from pathlib import Path

from homes import Home, until

WIDTH, HEIGHT = 800, 600
HEADER = struct.Struct(">25I")  # of a file of `xwd`, which the screen is


class Screen:
    """One screen, which ends with its home."""

    def __init__(self, home: Home, tools: Path) -> None:
        """`tools` has `bin/Xvfb` and `bin/xdotool`."""
        self._home = home
        self._xdotool = tools / "bin/xdotool"
        self._picture = home.folder / "Xvfb_screen0"
        server = home.start(
            *(tools / "bin/Xvfb", "-displayfd", "1", "-nolisten", "tcp"),
            *("-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-fbdir", home.folder),
            cwd=tools,
            stdout=subprocess.PIPE,
        )
        assert server.stdout
        number = server.stdout.readline().decode().strip()  # the first that nobody has
        assert number, f"Xvfb has ended: {home.folder / 'editor.log'}"
        self.variables = {"DISPLAY": f":{number}", "QT_QPA_PLATFORM": "xcb"}

    def keys(self, *names: str) -> None:
        """Press keys by the names that X has for them: `Return`, `ctrl+s`."""
        assert self._do("key", *names).returncode == 0

    def type(self, text: str) -> None:
        """Type a text, character by character."""
        assert self._do("type", "--delay", "20", text).returncode == 0

    def until_window(self, name: str) -> None:
        """Wait until there is a window with that in its title, and turn to it."""
        found = until(
            lambda: self._do("search", "--onlyvisible", "--name", name).stdout.split(),
            f"a window {name!r}",
        )
        until(lambda: self._do("windowfocus", found[0]).returncode == 0, f"{name!r} to have keys")

    def colours(self, left: int, top: int, right: int, bottom: int) -> set[bytes]:
        """The colours of all pixels between, each as blue, green, red."""
        data = self._picture.read_bytes()
        size, *fields = HEADER.unpack_from(data)
        width, per_line, n_colours = fields[3], fields[11], fields[18]
        assert (width, HEIGHT) == (WIDTH, fields[4])
        first = size + 12 * n_colours
        lines = [first + y * per_line for y in range(top, bottom)]
        pixels = b"".join(data[line + 4 * left : line + 4 * right] for line in lines)
        return {pixels[at : at + 3] for at in range(0, len(pixels), 4)}

    def _do(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return self._home.run(self._xdotool, *words, variables=self.variables)
