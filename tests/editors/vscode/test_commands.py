"""What can be chosen in the palette: each command does in the real VS Code what its name says."""

import json

import pytest
from homes import MODEL, PHRASES, RIVER
from windows import Window, until

TRAINS_S = 300.0  # a trainer starts, which on a busy machine takes more than a minute
GARDEN = ("The best thing about the garden is ", "that it goes on without us")


@pytest.fixture(autouse=True)
def as_before(desk: Window) -> None:
    """Each test begins in a file of its own."""
    desk.open(desk.editor.home.file("begin.md"))
    desk.until_status("Ready")


def test_why_says_why_and_what_to_do(desk: Window) -> None:
    """Where suggestions are off for a language, they can be turned on from the answer."""
    desk.command("Afterword: Turn Suggestions On or Off for This Language")
    desk.until_status("off in markdown")
    desk.command("Afterword: Why Is There No Suggestion?")
    desk.until_notified("Afterword: Suggestions are off for markdown.")
    desk.answer("Turn On")
    desk.until_status("Ready")
    assert desk.notifications == []


def test_statistics_are_a_page(desk: Window) -> None:
    """It says how much one did not have to type."""
    home = desk.editor.home
    desk.type(RIVER[0])
    desk.until_ghost(f"{RIVER[1]}.")
    desk.press("Tab")
    until(lambda: home.counts()["total"]["accepted"], "the acceptance in the statistics")
    total = home.counts()["total"]
    desk.command("Afterword: Show Statistics")
    page = until(lambda: desk.page_text("What Afterword saved you"), "the page")
    assert f"{total['characters']} characters that you did not have to type" in page
    assert RIVER[1] not in page
    desk.leave_file()
    desk.focus()


def test_settings_file_opens(desk: Window) -> None:
    """The one that all editors share."""
    config = desk.editor.home.paths.config / "config.toml"
    desk.command("Afterword: Open Settings File")
    desk.wait(
        "() => document.querySelector('.tab.active')?.ariaLabel?.startsWith('config.toml')",
        "a tab of the settings",
    )
    first = config.read_text(encoding="utf-8").splitlines()[0]
    until(lambda: desk.lines and desk.lines[0] == first, "the settings in the text")
    desk.leave_file()
    desk.focus()


def test_debug_information_tells_nothing_of_the_user(desk: Window) -> None:
    """Versions and figures; no text, no path, no name."""
    home = desk.editor.home
    desk.type(RIVER[0])
    desk.until_ghost(f"{RIVER[1]}.")
    desk.see("() => navigator.clipboard.writeText('')")
    desk.command("Afterword: Copy Debug Information")
    copied = until(lambda: desk.see("() => navigator.clipboard.readText()"), "what was copied")
    facts = json.loads(copied)
    assert facts["versions"]["server"]
    assert facts["situation"]["state"] == "ready"
    assert facts["daemon"]["requests"]
    words = [word for phrase in PHRASES for half in phrase for word in half.split()]
    for private in (*words, str(home.folder), home.folder.name, "notes", "begin", "/"):
        assert private not in copied, private


def test_the_report_is_made_and_it_is_said_where(desk: Window) -> None:
    """An editor that runs in a browser cannot open it there; others do."""
    report = desk.editor.home.paths.data / "reports" / f"{MODEL}.html"
    desk.command("Afterword: Open Learning Report")
    desk.until_notified(str(report))
    assert report.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_file_is_forgotten_when_it_is_meant(desk: Window) -> None:
    """It asks; what stood in the file alone is not expected any more, and the file stays."""
    home = desk.editor.home
    home.learn(GARDEN, name="garden.md")
    garden = home.notes / "garden.md"
    before = garden.read_bytes()
    desk.open(garden)
    desk.command("Afterword: Forget This File")
    desk.until_text("Forget garden.md?", ".monaco-dialog-box")
    desk.answer("Cancel")
    assert home.suggestion(GARDEN[0]) == f"{GARDEN[1]}."
    desk.focus()
    desk.command("Afterword: Forget This File")
    desk.until_text("Forget garden.md?", ".monaco-dialog-box")
    desk.answer("Forget")
    desk.until_notified("garden.md: ", TRAINS_S)
    assert garden.read_bytes() == before
    desk.leave_file()
    desk.open(home.file("after.md"))
    desk.type(GARDEN[0])
    assert GARDEN[1][:8] not in desk.soon_ghost()
    assert GARDEN[1][:8] not in home.suggestion(GARDEN[0])
    desk.press("Enter")
    desk.type(RIVER[0])  # the rest is known as before
    desk.until_ghost(f"{RIVER[1]}.")
