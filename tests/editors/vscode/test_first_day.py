"""The first day with VS Code: nothing installed, nothing learned, and how one gets on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from homes import RIVER, Home, Which
from household import text_of
from windows import Editor, editing, until

REST = f"{RIVER[1]}."
MANY = 150  # files, which take long enough to read that one sees it


@pytest.fixture
def new(make_home: Callable[[Which], Home], vsix: Path) -> Iterator[Editor]:
    """VS Code where nothing was learned yet."""
    with editing(make_home("base"), vsix) as one:
        yield one


def test_it_learns_the_workspace_from_the_editor(new: Editor) -> None:
    """What to do is said, doing it shows progress, and then it knows what stands there."""
    home = new.home
    home.settings("")
    home.file("diary.md", text_of(RIVER))
    for n in range(MANY):
        home.file(f"letters/{n}.md", f"Letter {n}, of no importance.\n" * 40)
    window = new.window(home.file("new.md")).ready()
    assert "base" in window.status
    window.click_status()
    window.until_text("Learn this workspace", ".quick-input-widget")
    window.record_bar()
    window.press("Enter")  # it is the first entry
    window.until_text(f"learns from {MANY + 1} files now", ".statusbar")
    assert "Afterword reads work" in window.recorded_bar()
    window.focus()
    window.type(f"As I said: {RIVER[0]}")

    def is_known() -> bool:
        window.press("Backspace")
        window.type(" ")
        return window.soon_ghost() == REST

    until(is_known, "what was learned")
    status = home.status()
    assert status
    assert str(home.work) in [one.path for one in status.watched]
    assert window.notifications == []


def test_without_a_model_it_says_what_to_do(make_home: Callable[[Which], Home], vsix: Path) -> None:
    """In the status item, and nowhere else; doing it is the first entry of its menu."""
    with editing(make_home("none"), vsix) as editor:
        window = editor.window(editor.home.file("none.md"))
        window.until_status("there is no model yet")
        window.click_status()
        window.until_text("Learn this workspace", ".quick-input-widget")
        window.press("Escape")
        assert window.notifications == []


def test_without_the_language_server_it_says_what_to_do(home: Home, vsix: Path) -> None:
    """Once in a message; the status item says it for as long as it is so."""
    with editing(home, vsix, has_server=False) as editor:
        window = editor.window(home.file("alone.md"))
        window.until_status("afterword-lsp, was not found")
        window.until_notified("Afterword needs its language server")
        window.answer("How to Install")
        window.until_text("Preview install.md", ".tabs-container")
        again = editor.window(home.file("alone.md"))
        again.until_status("afterword-lsp, was not found")
        assert again.notifications == []
        # Installed meanwhile, it is there as soon as one comes back.
        editor.install_server()
        again.focus().command("Afterword: Restart Language Server")
        again.until_status("Ready")


def test_a_path_that_leads_nowhere_is_named(home: Home, vsix: Path) -> None:
    """Rather than another program being run."""
    path = {"afterword.path": "/nowhere/afterword-lsp"}
    with editing(home, vsix, of_machine=path) as editor:
        window = editor.window(home.file("lost.md"))
        window.until_status("/nowhere/afterword-lsp, which the setting afterword.path names")
        assert home.servers() == []
