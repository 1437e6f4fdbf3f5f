"""Typing while the language server still starts, in the real VS Code: it asks at keys alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import BRIDGE, RIVER, Home
from windows import Window, editing, until

HALF, REST = RIVER[0], f"{RIVER[1]}."


@pytest.fixture(scope="module")
def gate(shared_home: Home) -> Path:
    """Where this file is, the server may run."""
    return shared_home.folder / "gate"


@pytest.fixture(scope="module")
def early(shared_home: Home, vsix: Path, gate: Path) -> Iterator[Window]:
    """A window of which the server takes its time."""
    with editing(shared_home, vsix, has_server=False) as editor:
        editor.install_server(gate)
        yield editor.window(shared_home.file("first.md"))


@pytest.fixture
def desk(early: Window, gate: Path) -> Iterator[Window]:
    """The same, in a file of the test's, while the server does not run yet."""
    if gate.exists():
        gate.unlink()
        early.command("Afterword: Restart Language Server")
    early.until_status("Starting")
    early.open(early.editor.home.file("early.md"))
    yield early
    early.leave_file()


@pytest.mark.parametrize("daemon", ["does not run", "runs"])
def test_what_was_typed_too_early_is_gone_on_with(desk: Window, gate: Path, daemon: str) -> None:
    """Once the server is there, without another key."""
    home = desk.editor.home
    if daemon == "does not run":
        until((home.paths.data / "memory").exists, "the memory on disk")
        home.kill_daemon()
    desk.type(HALF)
    desk.until_lines([HALF])
    assert desk.ghost == ""
    gate.touch()
    desk.until_ghost(REST)
    desk.type(REST[0])  # and it goes on as any
    desk.until_ghost(REST[1:])
    desk.press("Tab")
    assert desk.save() == f"{HALF}{REST}".encode()


def test_who_has_gone_elsewhere_is_left_alone(desk: Window, gate: Path) -> None:
    """Nothing grey where nobody types, though something could be."""
    desk.type(f"{HALF}\n")
    desk.press("ArrowUp", "End")
    desk.record_ghost()
    gate.touch()
    desk.until_status("Ready")
    assert desk.soon_ghost() == ""
    desk.press("Control+End")
    desk.type(BRIDGE[0])
    desk.until_ghost(f"{BRIDGE[1]}.")
    assert REST not in desk.recorded_ghost()


@pytest.mark.parametrize("time", range(3))  # what the editor opens and closes is not always alike
def test_the_first_file_says_how_it_is(home: Home, vsix: Path, time: int) -> None:
    """Where suggestions are off but for its language, whatever else the editor opens and closes."""
    enable = {"afterword.enable": {"*": False, "markdown": True}}
    with editing(home, vsix, **enable) as editor:
        window = editor.window(home.file("alone.md"), size=(1000, 2000)).ready()
        for _ in range(2):
            window.type(HALF)
            window.until_ghost(REST)
            window.press("Tab", "Enter")
            assert window.status.startswith("Afterword: Ready")
