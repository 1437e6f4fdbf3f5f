"""Shared by the tests of VS Code: the extension as it is packaged, and an editor that has it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import Home

sys.path.append(str(Path(__file__).parent))  # as pyproject.toml does for the other folders

from windows import Editor, Window, editing, entry, node, packaged


@pytest.fixture(scope="session")
def vsix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension, packaged once."""
    node(), entry()  # first of all, whether there is an editor
    return packaged(tmp_path_factory.mktemp("vsix"))


@pytest.fixture(scope="module")
def shared_editor(shared_home: Home, vsix: Path) -> Iterator[Editor]:
    """One for all tests of a module that do it no harm."""
    with editing(shared_home, vsix) as editor:
        yield editor


@pytest.fixture(scope="module")
def one_window(shared_editor: Editor) -> Window:
    """A window of it."""
    return shared_editor.window(shared_editor.home.file("first.md", "First.\n")).ready()


@pytest.fixture
def desk(one_window: Window) -> Iterator[Window]:
    """The same, in which each test opens a file; of what it typed nothing is known to the next."""
    yield one_window
    one_window.leave_file()


@pytest.fixture
def editor(home: Home, vsix: Path) -> Iterator[Editor]:
    """One for one test, which may break it."""
    with editing(home, vsix) as one:
        yield one
