"""Kate, with the lines that editors/README.md has for it, in a window; typed keys."""

import time

import pytest
from homes import BRIDGE, TOOLS, Home, tool, until
from others import lines_for
from screens import Screen

pytestmark = pytest.mark.slow

# What a user has said by clicking: that this plug-in is wanted, and that it may start the server.
SETTINGS = """\
[General]
Show welcome view for new window=false

[Kate Plugins]
lspclientplugin=true

[lspclient]
AllowedServerCommandLines={server}
"""
PAPER = {b"\xff\xff\xff"}  # white
CHOSEN = b"\xf5\xe0\xc2"  # the light blue of a menu's entry
A_GLANCE_S = 1.0  # a key that comes with the menu is of the text, and one can tell by nothing
BELOW_THE_LINE = (90, 112, 560, 440)  # within the page, in a window of 640 by 480 pixels


def test_a_suggestion_is_in_the_menu_and_is_taken(home: Home) -> None:
    """Behind characters of several units; it is the model's, and that it was taken is counted.

    The language server leaves with its editor.
    """
    program = tool("kate/bin/kate", "Kate")
    half, rest = BRIDGE
    config = home.user / ".config"
    (config / "kate/lspclient").mkdir(parents=True)
    (config / "katerc").write_text(SETTINGS.format(server=home.server), encoding="utf-8")
    (config / "kate/lspclient/settings.json").write_text(lines_for("Kate"), encoding="utf-8")
    before = "😀 漢字 é: "
    file = home.file("letter.md", f"{before}\n")
    home.settings("alternatives = 1\n")

    screen = Screen(home, TOOLS / "kate")
    kate = home.start(program, "-n", file, variables=screen.variables)
    screen.until_window("letter.md")

    def is_known() -> bool:
        status = home.status()
        return status is not None and status.documents > 0

    def shows_menu() -> bool:
        return screen.colours(*BELOW_THE_LINE) != PAPER

    def is_dismissed() -> bool:
        if shows_menu():
            screen.keys("Escape")
        return not shows_menu()

    def saved() -> str:
        return file.read_text(encoding="utf-8")

    until(is_known, "Kate to have a server that knows the file")
    screen.keys("End")
    screen.type(half.rstrip())
    screen.keys("ctrl+s")
    until(lambda: saved() == f"{before}{half.rstrip()}\n", "the first half to be saved")
    until(is_dismissed, "what was offered until here to be gone")
    # It asks by itself at the third letter of a word; there is a menu below the line then.
    screen.type(f" {rest[:3]}")
    until(lambda: CHOSEN in screen.colours(*BELOW_THE_LINE), "a menu with its first entry chosen")
    time.sleep(A_GLANCE_S)
    screen.keys("Return")
    until(lambda: not shows_menu(), "the menu to be gone")
    screen.keys("ctrl+s")

    until(lambda: saved() == f"{before}{half}{rest}.\n", "all of it to be saved")
    until(lambda: home.counts()["total"]["accepted"] == 1, "the acceptance to be counted")
    screen.keys("ctrl+q")
    until(lambda: kate.poll() is not None, "Kate to end")
    until(lambda: not home.servers(), "the language server to leave")
