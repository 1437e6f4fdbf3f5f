"""A real Neovim for tests: typed keys go in, the screen that a terminal would draw comes out.

Speaks Neovim's own protocol over its socket, as a graphical front end does. Every state of the
screen is kept, from flush to flush, so that a test can say what was never to be seen. Knows
nothing of Afterword but the name of its highlight.
"""

import itertools
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
from homes import PATIENCE_S, ROOT, Home, tool, until

PLUGIN = ROOT / "editors" / "neovim"
GHOST = "AfterwordSuggestion"
WIDTH, HEIGHT = 100, 24  # cells
# Plain, but for a colour of its own, so that the group is told apart from what it links to.
INIT = f"highlight {GHOST} guifg=#808890"

Cell = tuple[str, int]  # a character, "" behind a wide one; the number of its highlight


@dataclass(frozen=True, slots=True)
class Picture:
    """A screen between two flushes."""

    cells: tuple[tuple[Cell, ...], ...]
    highlights: dict[int, dict[str, Any]]
    names: dict[int, str]  # of highlights: the group on top
    ghosts: frozenset[int]  # numbers of highlights that are ghost text
    cursor: tuple[int, int]
    at_s: float  # time.perf_counter

    @property
    def rows(self) -> list[str]:
        """What stands there, without the blanks at the end."""
        return ["".join(text for text, _ in row).rstrip() for row in self.cells]

    @property
    def ghost(self) -> str:
        """What of it is ghost text, line by line; "" for none."""
        lines = ["".join(text for text, hl in row if hl in self.ghosts) for row in self.cells]
        return "\n".join(line for line in lines if line)


@dataclass
class Screen:
    """The screen as told by Neovim, and all that it was."""

    grid: list[list[Cell]] = field(default_factory=list)
    highlights: dict[int, dict[str, Any]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    ghosts: frozenset[int] = frozenset()
    colours: tuple[int, int] = (0xD0D0D0, 0x101418)  # text, ground
    cursor: tuple[int, int] = (0, 0)
    pictures: list[Picture] = field(default_factory=list)

    def take(self, events: Sequence[Any]) -> None:
        """Follow a batch of events, as `:help ui-events` has them."""
        for name, *calls in events:
            handle = getattr(self, f"_{name}", None)
            for call in calls if handle else ():
                handle(*call)

    def _default_colors_set(self, text: int, ground: int, *_: int) -> None:
        if text >= 0 and ground >= 0:
            self.colours = (text, ground)

    def _hl_attr_define(self, id: int, rgb: dict[str, Any], _: Any, infos: Any) -> None:
        self.highlights[id] = rgb
        self.names[id] = infos[-1].get("hi_name", "") if infos else ""
        if any(info.get("hi_name") == GHOST for info in infos):
            self.ghosts |= {id}

    def _grid_resize(self, _: int, width: int, height: int) -> None:
        self.grid = [[(" ", 0)] * width for _ in range(height)]

    def _grid_clear(self, _: int) -> None:
        self.grid = [[(" ", 0)] * len(row) for row in self.grid]

    def _grid_line(self, _: int, row: int, column: int, cells: list[Any], *_more: Any) -> None:
        highlight = 0
        for text, *more in cells:
            highlight = more[0] if more else highlight
            for _ in range(more[1] if len(more) > 1 else 1):
                self.grid[row][column] = (text, highlight)
                column += 1

    def _grid_scroll(
        self, _: int, top: int, bottom: int, left: int, right: int, rows: int, _columns: int
    ) -> None:
        order = range(top, bottom - rows) if rows > 0 else range(bottom - 1, top - rows - 1, -1)
        for row in order:
            self.grid[row][left:right] = self.grid[row + rows][left:right]

    def _grid_cursor_goto(self, _: int, row: int, column: int) -> None:
        self.cursor = (row, column)

    def _flush(self) -> None:
        self.pictures.append(
            Picture(
                cells=tuple(tuple(row) for row in self.grid),
                highlights=dict(self.highlights),
                names=dict(self.names),
                ghosts=self.ghosts,
                cursor=self.cursor,
                at_s=time.perf_counter(),
            )
        )


class Neovim:
    """One that runs in a home, with a window of `WIDTH` by `HEIGHT` cells."""

    def __init__(
        self,
        home: Home,
        version: str,
        *files: Path,
        init: str = "",
        plugin: bool = True,
        environ: dict[str, str] | None = None,
    ) -> None:
        """`init` is what a user's configuration would hold, in Vim's language."""
        program = tool(f"neovim/{version}/bin/nvim", f"Neovim {version}")
        number = next(_numbers)
        self.home = home
        self.screen = Screen()
        self._socket_path = home.folder / f"nvim{number}"
        script = home.folder / f"init{number}.vim"
        path = [f"set runtimepath^={PLUGIN}"] if plugin else []
        script.write_text("\n".join([INIT, *path, init]) + "\n", encoding="utf-8")
        self.process = home.start(
            program, "--headless", "--listen", self._socket_path, "--clean", "-u", script, *files,
            variables=environ or {},
        )  # fmt: skip
        until(self._socket_path.exists, "Neovim to listen")
        self._socket = socket.socket(socket.AF_UNIX)
        until(self._connects, "Neovim to answer")
        self._answers: dict[int, tuple[Any, Any]] = {}
        self._news = threading.Condition()
        self._ids = itertools.count(1)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.call(
            "nvim_ui_attach",
            WIDTH,
            HEIGHT,
            {"rgb": True, "ext_linegrid": True, "ext_hlstate": True},
        )

    # -- what goes in --------------------------------------------------------------------------

    def call(self, method: str, *arguments: Any) -> Any:
        """What an API function gives."""
        id = next(self._ids)
        self._socket.sendall(msgpack.packb([0, id, method, list(arguments)]))
        with self._news:
            assert self._news.wait_for(lambda: id in self._answers, PATIENCE_S), method
            error, result = self._answers.pop(id)
        assert error is None, error
        return result

    def lua(self, code: str, *arguments: Any) -> Any:
        """What a chunk of Lua returns."""
        return self.call("nvim_exec_lua", code, list(arguments))

    def keys(self, keys: str) -> None:
        """Type them, as somebody very fast."""
        self.call("nvim_input", keys)

    def type(self, text: str) -> None:
        """Type a text key by key, each only when what came of the one before is on the screen."""
        for key in text:
            was = self.tick
            self.keys("<lt>" if key == "<" else key)
            until(lambda was=was: self.tick != was, f"the key {key!r}")  # type: ignore[misc]

    def command(self, command: str) -> None:
        """Run one of the command line, without a trace there."""
        self.call("nvim_command", command)

    # -- what comes out ------------------------------------------------------------------------

    @property
    def tick(self) -> int:
        """Moves with each change of the text."""
        return int(self.call("nvim_buf_get_changedtick", 0))

    @property
    def lines(self) -> list[str]:
        """Of the buffer."""
        return list(self.call("nvim_buf_get_lines", 0, 0, -1, True))

    @property
    def cursor(self) -> tuple[int, int]:
        """Line from 1, bytes from 0."""
        row, col = self.call("nvim_win_get_cursor", 0)
        return row, col

    @property
    def ghost(self) -> str:
        """Ghost text on the screen now."""
        return self.screen.pictures[-1].ghost if self.screen.pictures else ""

    @property
    def rows(self) -> list[str]:
        """All of the screen now."""
        return self.screen.pictures[-1].rows if self.screen.pictures else []

    @property
    def messages(self) -> str:
        """All that was said below the text, with every error."""
        return str(self.call("nvim_exec2", "messages", {"output": True})["output"])

    def shows(self, text: str) -> None:
        """Wait until this is the ghost text; "" for none."""
        with suppress(AssertionError):
            until(lambda: self.ghost == text, "ghost text")
        assert self.ghost == text, self.rows

    def has(self, text: str) -> None:
        """Wait until this stands somewhere on the screen."""
        with suppress(AssertionError):
            until(lambda: any(text in row for row in self.rows), text)
        assert any(text in row for row in self.rows), self.rows

    def ready(self) -> "Neovim":
        """Wait until the language server looks at the buffer and has a daemon."""
        until(lambda: self.state == "ready", "the language server to be ready")
        return self

    @property
    def state(self) -> str:
        """What the plug-in shows of it."""
        return str(self.lua("return (vim.b.afterword or {}).state or ''"))

    # -- the end -------------------------------------------------------------------------------

    def quit(self) -> None:
        """As a user leaves it; waits until it has ended."""
        with suppress(AssertionError, OSError):
            self._socket.sendall(msgpack.packb([2, "nvim_command", ["qall!"]]))
        self.process.wait(PATIENCE_S)
        self.close()

    def close(self) -> None:
        """Let go of it."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._reader.join(PATIENCE_S)

    def _connects(self) -> bool:
        try:
            self._socket.connect(str(self._socket_path))
        except OSError:
            return False
        return True

    def _read(self) -> None:
        unpacker = msgpack.Unpacker(strict_map_key=False, unicode_errors="surrogateescape")
        with suppress(OSError):
            while data := self._socket.recv(1 << 16):
                unpacker.feed(data)
                for message in unpacker:
                    with self._news:
                        if message[0] == 1:
                            self._answers[message[1]] = (message[2], message[3])
                        elif message[1] == "redraw":
                            self.screen.take(message[2])
                        self._news.notify_all()


Start = Callable[..., Neovim]
_numbers = itertools.count(1)
