"""Editors that need no plug-in, with the lines that editors/README.md has for them; typed keys."""

import pytest
from homes import BRIDGE, RIVER, Home, until
from others import EDITORS, Editor, leave, opened, until_suggested

pytestmark = pytest.mark.slow


@pytest.fixture(params=EDITORS, ids=lambda editor: str(editor.name))
def editor(request: pytest.FixtureRequest) -> Editor:
    """Each of them."""
    found = request.param
    assert isinstance(found, Editor)
    return found


def test_a_suggestion_arrives_and_is_inserted(editor: Editor, home: Home) -> None:
    """It is the model's, nothing else comes with it, and that it was taken is counted.

    The language server leaves with its editor.
    """
    half, rest = RIVER
    expected = home.complete(f"As I said: {half}")
    assert expected.startswith(rest)

    terminal = opened(editor, home)
    terminal.type(f"As I said: {half}")
    terminal.until_shows(half.strip())
    until_suggested(editor, terminal, rest, in_word=False)
    if editor.accept:
        terminal.keys(*editor.accept)
    terminal.until_shows(f"{half}{expected}")
    terminal.type(" So it was.")
    terminal.until_shows("So it was.")
    leave(editor, terminal)

    text = (home.work / editor.file).read_text(encoding="utf-8")
    assert text.rstrip("\n") == f"As I said: {half}{expected} So it was."
    until(lambda: home.counts()["total"]["accepted"] == 1, "the acceptance to be counted")
    until(lambda: not home.servers(), "the language server to leave")


def test_within_a_word_the_place_is_right(editor: Editor, home: Home) -> None:
    """Behind what takes two units of UTF-16 and three bytes; what was typed is there once.

    That it was taken is counted, though Vim takes the word away before it puts it in.
    """
    half, rest = BRIDGE
    typed = f"😀 漢字 é: {half}{rest[:5]}"
    home.settings("alternatives = 1\n")  # of several, some editors insert what they share

    terminal = opened(editor, home)
    terminal.type(typed)
    terminal.until_shows(rest[:5])
    until_suggested(editor, terminal, rest, in_word=True)
    if editor.accept:
        terminal.keys(*editor.accept)
    terminal.until_shows(f"{half}{rest}")
    leave(editor, terminal)

    text = (home.work / editor.file).read_text(encoding="utf-8")
    assert text.rstrip("\n") == f"😀 漢字 é: {half}{rest}."
    until(lambda: home.counts()["total"]["accepted"] == 1, "the acceptance to be counted")
