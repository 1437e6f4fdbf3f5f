"""What the README shows: the real editor, and no dressing.

A picture is written where it is missing; with AFTERWORD_PICTURES set all are made anew, to be
looked at.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from afterword_trainer.paths import SHIPPED_BASE
from homes import Home, furnished
from windows import PICTURES, Editor, Window, editing, until

MOST_BYTES = 100_000
NOTE = """# The garden

The beans have come up at last, and nobody has weeded since June.
"""
HALF, REST = "The best thing about the garden is ", "that it goes on without us"
# What only a browser has, and what blinks.
PLAIN = {
    "breadcrumbs.enabled": False,
    "editor.cursorBlinking": "solid",
    "window.title": "${activeEditorShort}",
    "workbench.activityBar.location": "hidden",
    "workbench.layoutControl.enabled": False,
}


@pytest.fixture(scope="module")
def gardener(shared_home: Home, vsix: Path) -> Iterator[Editor]:
    """VS Code of somebody who has written of a garden before."""
    shared_home.learn((HALF, REST), name="garden.md")
    with editing(shared_home, vsix, **PLAIN) as one:
        yield one


def test_picture_of_a_note(gardener: Editor) -> None:
    """The end of a line is grey, behind the cursor."""
    window = gardener.window(gardener.home.file("note.md", NOTE), size=(760, 300)).ready()
    hide_files(window)
    window.type(HALF)
    window.until_ghost(f"{REST}.")
    assert window.see("() => document.querySelector('.cursor')?.checkVisibility()")
    window.picture("ghost-text.png")


def test_picture_of_the_menu(gardener: Editor) -> None:
    """The menu behind the status item, as far as it comes when it opens."""
    window = gardener.window(gardener.home.file("menu.md", NOTE), size=(760, 460)).ready()
    hide_files(window)
    window.type(HALF)
    window.until_ghost(f"{REST}.")
    window.click_status()
    window.until_text("Turn off for markdown", ".quick-input-widget")
    window.picture("menu.png")


@pytest.fixture
def shipped(vsix: Path) -> Iterator[Editor]:
    """VS Code with the model that comes with Afterword, where nothing was learned yet."""
    if not (SHIPPED_BASE / "model").is_dir():
        pytest.skip("there is no base model here")
    with furnished(SHIPPED_BASE, "base") as home, editing(home, vsix, **PLAIN) as one:
        yield one


def test_practice_works_on_the_first_day(shipped: Editor) -> None:
    """The first step of the walkthrough, by the button that is there."""
    window = shipped.window(size=(1240, 720))
    window.until_status("Ready")  # though no document is open
    hide_files(window)
    window.command("Afterword: Open Walkthrough")
    window.until_text("Try it", ".gettingStartedContainer")
    window.wait(DRAWN, "the picture beside it")
    window.picture("walkthrough.png")
    window.answer("Open a practice file")
    until(lambda: "I have been thinking ab" in "".join(window.lines), "the practice file")
    until(lambda: window.soon_ghost(), "grey text in the practice file")
    window.press("Tab")
    until(lambda: "thinking about" in window.lines[-1], "what was grey in the text")


def hide_files(window: Window) -> None:
    """Have no list of them at the side, whatever the window before had."""
    if window.see("() => document.querySelector('.part.sidebar')?.checkVisibility()"):
        window.press("Control+b")
    window.wait("() => !document.querySelector('.part.sidebar').checkVisibility()", "no list")


# The step's picture is in a frame of a frame.
DRAWN = (
    "() => document.querySelector('.getting-started-media iframe')?.contentDocument"
    "?.querySelector('#active-frame')?.contentDocument?.querySelector('svg')?.clientWidth > 100"
)


@pytest.mark.parametrize("name", ["ghost-text.png", "menu.png", "walkthrough.png"])
def test_pictures_are_small(name: str) -> None:
    """They are in the repository."""
    assert 1000 < (PICTURES / name).stat().st_size <= MOST_BYTES
