"""What turns suggestions off and on, and what changes them: in the real VS Code."""

import time
from contextlib import suppress

import psutil
import pytest
from afterword_daemon.protocol import Options
from homes import BRIDGE, RIVER
from windows import POPUP, Window, until

HALF, REST = RIVER[0], f"{RIVER[1]}."


@pytest.fixture(autouse=True)
def as_before(desk: Window) -> None:
    """Each test begins with the settings of the first day."""
    desk.open(desk.editor.home.file("begin.md"))
    desk.set({})
    desk.until_status("Ready")


def test_off_is_off(desk: Window) -> None:
    """Not one request reaches the daemon, the setting holds it, and on is as it was."""
    home = desk.editor.home
    desk.open(home.file("off.md"))
    desk.command("Afterword: Turn Suggestions On or Off")
    desk.until_status("Suggestions are off")
    assert desk.editor.read_settings()["afterword.enable"] == {"*": False}
    asked = home.n_requests()
    desk.type(HALF * 3)
    assert desk.save() == (HALF * 3).encode()
    assert desk.ghost == ""
    assert home.n_requests() == asked
    desk.press("Control+k", "a")  # the same by its key
    desk.until_status("Ready")
    assert "afterword.enable" not in desk.editor.read_settings()
    desk.press("Enter")
    desk.type(HALF)
    desk.until_ghost(REST)
    assert home.n_requests() > asked


def test_a_language_can_be_off_alone(desk: Window) -> None:
    """The status says which, and follows from file to file."""
    home = desk.editor.home
    desk.open(home.file("language.md"))
    desk.command("Afterword: Turn Suggestions On or Off for This Language")
    desk.until_status("off in markdown")
    asked = home.n_requests()
    desk.type(HALF)
    desk.save()
    assert home.n_requests() == asked
    desk.open(home.file("on.txt"))
    desk.until_status("Ready")
    desk.type(HALF)
    desk.until_ghost(REST)


def test_the_status_is_of_what_one_looks_at(desk: Window) -> None:
    """Whatever else is opened and closed, and when its language becomes another."""
    home = desk.editor.home
    desk.set({"afterword.enable": {"*": False, "markdown": True}})
    desk.open(home.file("here.md"))
    desk.until_status("Ready")
    desk.open(home.file("there.ini"))
    desk.until_status("off in ini")
    desk.leave_file()
    desk.until_status("Ready")
    time.sleep(1.0)  # the editor tells a little later that it is closed
    desk.until_status("Ready")
    for status in ("off in markdown", "Ready"):
        desk.command("Afterword: Turn Suggestions On or Off for This Language")
        desk.until_status(status)
    for language, status in (("Plain Text", "off in plaintext"), ("Markdown", "Ready")):
        desk.command("Change Language Mode")
        desk.type(language)
        desk.press("Enter")
        desk.until_status(status)


def test_another_temperature_holds_from_the_next_key(desk: Window) -> None:
    """Even if that key is one that was expected."""
    home = desk.editor.home
    desk.open(home.file("warm.md"))
    desk.type(HALF)
    desk.until_ghost(REST)
    at_once = {"path": "work/warm.md", "language": "markdown", "options": Options(temperature=1.5)}
    expected = home.suggestion(f"{HALF}{REST[0]}", **at_once)
    assert expected != REST[1:]
    desk.set({"afterword.temperature": 1.5})
    desk.type(REST[0])
    desk.until_ghost(expected)


def test_where_grey_text_is_off_it_comes_in_the_menu(desk: Window) -> None:
    """And is taken as any entry is; the status says so."""
    desk.set({"editor.inlineSuggest.enabled": False})
    desk.until_status("in the menu")
    desk.open(desk.editor.home.file("popup.md"))
    desk.type(f"{HALF}dr")
    row = f"(text) => document.querySelector('{POPUP}')?.ariaLabel?.startsWith(text)"
    desk.press("Control+Space")
    desk.wait(row, "the entry", REST)
    assert desk.ghost == ""
    desk.press("Tab")
    assert desk.save() == f"{HALF}{REST}".encode()


def test_where_grey_text_is_on_the_menu_has_nothing_of_it(desk: Window) -> None:
    """Nothing is shown twice."""
    desk.open(desk.editor.home.file("once.md"))
    desk.type(f"{HALF}dr")
    desk.until_ghost(REST[2:])
    desk.press("Control+Space")
    desk.wait("() => document.querySelector('.suggest-widget.visible')", "the menu")
    rows = f"() => [...document.querySelectorAll('{POPUP}')].map((row) => row.ariaLabel)"
    assert not [row for row in desk.see(rows) if row and REST in row]
    desk.press("Escape")


def test_by_hand_only_on_request(desk: Window) -> None:
    """With `trigger` manual nothing comes of typing, and it comes of Alt+\\."""
    desk.set({"afterword.trigger": "manual"})
    desk.open(desk.editor.home.file("manual.md"))
    asked = desk.editor.home.n_requests()
    desk.type(HALF)
    desk.save()
    assert desk.ghost == ""
    assert desk.editor.home.n_requests() == asked
    desk.press("Alt+\\")
    desk.until_ghost(REST)


def test_pausing_is_said_and_undone(desk: Window) -> None:
    """Suggestions go on meanwhile."""
    desk.command("Afterword: Pause Learning")
    desk.until_status("Learning is paused")
    desk.type(HALF)
    desk.until_ghost(REST)
    desk.command("Afterword: Resume Learning")
    desk.until_status("Ready")


def test_a_daemon_that_dies_is_no_reason_for_a_message(desk: Window) -> None:
    """Killed between two keys: typing goes on, and soon there are suggestions again."""
    home = desk.editor.home
    before = desk.notifications
    desk.open(home.file("killed.md"))
    desk.type(HALF)
    desk.until_ghost(REST)
    until((home.paths.data / "memory").exists, "the memory on disk")
    killed = home.kill_daemon()
    lines = desk.until_back(BRIDGE[0], f"{BRIDGE[1]}.")
    assert home.pid() != killed
    assert desk.notifications == before
    assert desk.save().decode() == HALF + f"\n{BRIDGE[0]}" * lines


@pytest.mark.parametrize("when", ["at work", "while it is restarted", "just before"])
def test_a_language_server_that_dies_is_started_anew(desk: Window, when: str) -> None:
    """Without a message either, and one alone, whenever it was killed."""
    home = desk.editor.home
    before = desk.notifications
    desk.open(home.file("anew.md"))
    desk.type(HALF)
    desk.until_ghost(REST)
    if when != "at work":
        desk.choose("Afterword: Restart Language Server")
    if when == "while it is restarted":
        desk.press("Enter")
    killed = home.servers()
    for pid in killed:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()
    if when == "just before":
        desk.press("Enter")  # by then it is being started anew by itself, and that one is to go
    until(lambda: set(home.servers()).isdisjoint(killed), "the server to be gone")
    desk.until_back(BRIDGE[0], f"{BRIDGE[1]}.")
    desk.until_status("Ready")
    assert len(home.servers()) == 1
    assert desk.notifications == before
