"""Grey text under the hands of somebody who types: in the real VS Code, from a real daemon."""

from collections.abc import Sequence

import pytest
from homes import BRIDGE, RIVER, Home
from windows import POPUP, Window, until

HALF, REST = RIVER[0], f"{RIVER[1]}."


def accepted(home: Home) -> int:
    """Suggestions that were taken, as the statistics have it."""
    return int(home.counts()["total"]["accepted"])


def test_tab_takes_what_the_model_says(desk: Window) -> None:
    """What is grey is the daemon's answer; Tab puts it into the text, and it is counted."""
    home = desk.editor.home
    before = accepted(home)
    desk.open(home.file("note.md", "# A note\n\n"))
    desk.type(HALF)
    desk.until_ghost(home.suggestion(f"# A note\n\n{HALF}"))
    desk.press("Tab")
    assert desk.save() == f"# A note\n\n{HALF}{REST}".encode()
    until(lambda: accepted(home) == before + 1, "the acceptance in the statistics")


def test_typing_along_shrinks_it_without_asking(desk: Window) -> None:
    """Each frame shows what is left, none shows nothing, and the daemon is not asked."""
    home = desk.editor.home
    desk.open(home.file("along.md"))
    desk.type(HALF)
    desk.until_ghost(REST)
    asked = home.n_requests()
    desk.record_ghost()
    for n in range(1, 8):
        desk.type(REST[n - 1])
        desk.until_ghost(REST[n:])
    frames = desk.recorded_ghost()
    assert frames == [REST[n:] for n in range(8)]
    assert home.n_requests() == asked
    desk.press("Tab")
    assert desk.save() == f"{HALF}{REST}".encode()


def test_typing_fast_along_never_shows_nothing(desk: Window) -> None:
    """Though keys come faster than the screen is drawn."""
    desk.open(desk.editor.home.file("fast.md"))
    desk.type(HALF)
    desk.until_ghost(REST)
    desk.record_ghost()
    desk.type(REST[:12])
    desk.until_ghost(REST[12:])
    frames = desk.recorded_ghost()
    assert all(frame and REST.endswith(frame) for frame in frames), frames


def test_what_does_not_fit_clears_it(desk: Window) -> None:
    """At once, and Escape does too; both leave the text alone."""
    desk.open(desk.editor.home.file("clear.md"))
    desk.type(HALF)
    desk.until_ghost(REST)
    desk.type("x")
    desk.until_ghost("")
    desk.press("Backspace")
    desk.until_ghost(REST)
    desk.press("Escape")
    desk.until_ghost("")
    assert desk.save() == HALF.encode()


def test_a_word_is_taken_and_the_rest_stays(desk: Window) -> None:
    """By the editor's own key; what was taken in the end is counted once."""
    home = desk.editor.home
    before = accepted(home)
    desk.open(home.file("word.md"))
    desk.type(HALF)
    desk.until_ghost(REST)
    desk.press("Control+ArrowRight")
    desk.until_ghost(" quizzlebex.")
    assert desk.lines == [f"{HALF}dranthes"]
    desk.press("Tab")
    assert desk.save() == f"{HALF}{REST}".encode()
    until(lambda: accepted(home) == before + 1, "the acceptance in the statistics")


def test_the_editor_tells_what_is_taken(desk: Window) -> None:
    """One character could have been typed as well: of the text alone it would not be known."""
    home = desk.editor.home
    before = accepted(home)
    desk.open(home.file("told.md"))
    desk.type(HALF)
    desk.until_ghost(REST)
    desk.type(REST[:-1])
    desk.until_ghost(REST[-1])
    desk.press("Tab")
    desk.until_lines([f"{HALF}{REST}"])
    until(lambda: accepted(home) == before + 1, "the acceptance in the statistics")


def test_it_comes_though_one_rests_after_the_first_word(desk: Window) -> None:
    """In a file that was just opened, which has to be read first."""
    for n in range(4):
        desk.open(desk.editor.home.file(f"rest-{n}.md", "Something else.\n" * 300))
        desk.type(HALF)
        desk.until_ghost(REST)
        desk.leave_file()
    desk.open(desk.editor.home.file("rested.md"))


def test_undo_takes_it_back(desk: Window) -> None:
    """In one step, and what was typed stays."""
    desk.open(desk.editor.home.file("undo.md"))
    desk.type(HALF)
    desk.until_ghost(REST)
    desk.press("Tab")
    desk.until_lines([f"{HALF}{REST}"])
    desk.press("Control+z")
    desk.until_lines([HALF])


def test_where_nothing_is_shown_tab_is_a_tab(desk: Window) -> None:
    """And Ctrl+Right goes a word further."""
    home = desk.editor.home
    assert [home.suggestion(text) for text in ("7", "77")] == ["", ""]  # nor will it be later
    desk.open(home.file("tab.md"))
    desk.type("77")
    desk.press("Tab")
    assert desk.save() == b"77  "
    desk.press("Home", "Control+ArrowRight")
    desk.type("!")
    assert desk.save() == b"77!  "


def test_an_open_menu_keeps_its_keys(desk: Window) -> None:
    """Tab takes the entry that is chosen there, and not what might be grey."""
    home = desk.editor.home
    desk.open(home.file("menu.css", "p { }\n"))
    desk.press("Control+Home", "ArrowRight", "ArrowRight", "ArrowRight")
    desk.type(" colo")
    desk.press("Control+Space")
    rows = f"() => document.querySelector('{POPUP}.focused')?.ariaLabel"
    desk.wait(rows, "the menu")
    desk.press("ArrowDown")
    chosen = str(desk.see(rows)).split(",")[0]
    desk.press("Tab")
    saved = desk.save().decode()
    assert saved.startswith(f"p {{ {chosen}"), saved


PLACES = {
    # what is in the file, keys from its end to the place, what is typed there, and what it becomes
    "mid-line": (b" and so it went.\n", ["Control+Home"], HALF, f"{HALF}{REST} and so it went.\n"),
    "in indentation": (b"- one\n", [], f"    {HALF}", f"- one\n    {HALF}{REST}"),
    "before a closer": (
        b"As he said \n",
        ["ArrowLeft"],
        f"({HALF}",
        f"As he said ({HALF}{REST})\n",
    ),
    "CRLF": (b"one\r\n\r\nthree\r\n", [], HALF, f"one\r\n\r\nthree\r\n{HALF}{REST}"),
    "CRLF, mid-file": (
        b"one\r\n\r\nend\r\n",
        ["ArrowUp", "ArrowUp"],
        HALF,
        f"one\r\n{HALF}{REST}\r\nend\r\n",
    ),
    "after tabs": (b"a:\n\t\tb\n\t\t", [], HALF, f"a:\n\t\tb\n\t\t{HALF}{REST}"),
    "after emoji": ("👩‍👩‍👧 🎉 ".encode(), [], HALF, f"👩‍👩‍👧 🎉 {HALF}{REST}"),
    "after CJK": ("漢字とかな".encode(), [], f" {HALF}", f"漢字とかな {HALF}{REST}"),
    "after a rare line end": (
        "one\u2028two\x0c ".encode(),
        [],
        HALF,
        f"one\u2028two\x0c {HALF}{REST}",
    ),
}


@pytest.mark.parametrize(("before", "keys", "typed", "after"), PLACES.values(), ids=PLACES)
def test_it_lands_where_it_was_shown(
    desk: Window,
    request: pytest.FixtureRequest,
    before: bytes,
    keys: Sequence[str],
    typed: str,
    after: str,
) -> None:
    """To the byte, whatever stands around it."""
    name = request.node.callspec.id.replace(" ", "-")
    desk.open(desk.editor.home.file(f"{name}.txt", before))
    desk.press(*keys)
    desk.type(typed)
    shown = desk.until_ghost_of(REST)  # how much of it is sure is not what this is about
    desk.type(shown[0])  # where the rest of it belongs the extension finds by itself
    desk.until_ghost(shown[1:])
    desk.press("Tab")
    assert desk.save().decode() == after.replace(REST, shown)


def test_two_windows_have_one_daemon(desk: Window) -> None:
    """And a language server each; what is grey comes in both."""
    home = desk.editor.home
    other = desk.editor.window(home.file("other.md")).ready()
    desk.open(home.file("one.md"))
    daemon = home.pid()
    for window, (half, rest) in ((desk, RIVER), (other, BRIDGE)):
        window.type(half)
        window.until_ghost(f"{rest}.")
    assert len(home.servers()) == 2
    assert home.pid() == daemon
    other.close()
