"""What the README shows, made anew: with the model that comes with Afterword, on letters from 1912.

With AFTERWORD_PICTURES set they are written into the extension's folder, to be looked at.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from afterword_trainer.paths import SHIPPED_BASE
from homes import ROOT, Home, furnished, until
from windows import Editor, editing

LETTERS = ROOT / "examples" / "letters"
OPENING = "# Sunday\n\nDear Daddy-Long-Legs,\n\n"
TYPED = "It was the most beau"


@pytest.fixture(scope="module")
def at_home() -> Iterator[Home]:
    """Where somebody has written letters, which are watched."""
    if not (SHIPPED_BASE / "model").is_dir():
        pytest.skip("there is no base model here")
    with furnished(SHIPPED_BASE, "base") as one:
        shutil.copytree(LETTERS, one.notes / "letters")
        one.settings("")
        yield one


@pytest.fixture(scope="module")
def written(at_home: Home, vsix: Path) -> Iterator[Editor]:
    with editing(at_home, vsix) as one:
        yield one


def test_grey_text_in_a_note(written: Editor) -> None:
    window = written.window(written.home.file("sunday.md", OPENING), size=(760, 420)).ready()
    window.press("Control+b")  # the list of files is no part of it
    window.type(TYPED)

    def is_there() -> bool:
        window.press("Backspace")
        window.type(TYPED[-1])
        return len(window.soon_ghost()) > 2

    until(is_there, "some grey text")
    window.picture("ghost-text.png")


def test_menu_behind_the_status_item(written: Editor) -> None:
    window = written.window(written.home.file("monday.md", OPENING), size=(760, 480)).ready()
    window.press("Control+b")
    window.click_status()
    window.until_text("Turn off for markdown", ".quick-input-widget")
    window.picture("menu.png")


def test_practice_works_on_the_first_day(written: Editor) -> None:
    """The first step of the walkthrough, by the button that is there."""
    window = written.window(size=(1240, 640))
    window.until_status("Ready")
    window.command("Afterword: Open Walkthrough")
    window.until_text("Try it", ".gettingStartedContainer")
    window.wait(
        "() => document.querySelector('.getting-started-media iframe, iframe.ready')", "its picture"
    )
    window.picture("walkthrough.png")
    window.answer("Open a practice file")
    until(lambda: "I have been thinking ab" in "".join(window.lines), "the practice file")
    until(lambda: window.soon_ghost(), "grey text in the practice file")
    window.press("Tab")
    until(lambda: "thinking about" in window.lines[-1], "what was grey in the text")
