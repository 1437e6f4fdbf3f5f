"""Typing in a real Neovim, with a real daemon: what appears, and what a key does."""

import os
import signal
from typing import NamedTuple

import pytest
from homes import BRIDGE, RIVER, Home, until
from neovims import GHOST, Neovim, Start

HALF, REST = RIVER
WHOLE = REST + "."
TAB = "imap <Tab> <Plug>(afterword-accept)\nimap <C-l> <Plug>(afterword-accept-word)\n"
TAB += "imap <C-j> <Plug>(afterword-accept-line)\nimap <C-e> <Plug>(afterword-dismiss)\n"
TAB += "set completeopt=menu,menuone,noselect nofixendofline\n"


def writing(start: Start, home: Home, text: str = "", name: str = "note.txt", **how: str) -> Neovim:
    """A Neovim with a file, that is ready for keys."""
    return start(home.file(name, text), init=TAB + how.pop("init", ""), **how).ready()


def test_ghost_text_is_the_models(start: Start, home: Home) -> None:
    """What appears is what the daemon answers there, and `afterword complete` prints."""
    nvim = writing(start, home)
    nvim.keys("i" + HALF)

    nvim.shows(WHOLE)
    assert home.complete(HALF).startswith(REST)
    assert nvim.lines == [HALF]  # not in the text


def test_tab_takes_it(start: Start, home: Home) -> None:
    """It is in the text, the cursor behind it, and the acceptance is counted."""
    n_accepted = home.counts()["total"]["accepted"]
    nvim = writing(start, home)
    nvim.keys("i" + HALF)
    nvim.shows(WHOLE)
    nvim.keys("<Tab>")

    until(lambda: nvim.lines[0] == HALF + WHOLE, "the text to be there")
    assert nvim.cursor == (1, len(HALF + WHOLE))
    until(lambda: home.counts()["total"]["accepted"] > n_accepted, "it to be counted")


def test_typing_along_shrinks_it(start: Start, home: Home) -> None:
    """With each agreeing key it is one shorter in the same picture, and nothing is asked."""
    nvim = writing(start, home)
    nvim.keys("i" + HALF)
    nvim.shows(WHOLE)
    n_requests, n_pictures = home.n_requests(), len(nvim.screen.pictures)
    nvim.type(REST[:12])

    nvim.shows(WHOLE[12:])
    assert home.n_requests() == n_requests
    for picture in nvim.screen.pictures[n_pictures:]:
        assert picture.rows[0] == HALF + WHOLE


# No ghost text is in time: what would be is given up at the next key, of which the server hears
# only by a request.
SLOW = """
held = {}
vim.lsp.config('afterword', { flags = { debounce_text_changes = 1e6 } })
local start = vim.lsp.rpc.start
function vim.lsp.rpc.start(...)
  local rpc = start(...)
  local request = rpc.request
  function rpc.request(method, params, callback, ...)
    local tick = vim.b.changedtick
    local is_ghost = method == 'textDocument/inlineCompletion'
    return request(method, params, function(...)
      if is_ghost and is_slow and tick == vim.b.changedtick then
        return table.insert(held, callback)
      end
      callback(...)
    end, ...)
  end
  return rpc
end
vim.api.nvim_create_autocmd('TextChangedI', {
  callback = vim.schedule_wrap(function()
    local given_up = held
    held = {}
    for _, callback in ipairs(given_up) do callback() end
  end),
})
"""


def test_typing_faster_than_it_answers(start: Start, home: Home) -> None:
    """What comes late and agrees with what was typed since is shown, without that."""
    nvim = writing(start, home, init=f"lua <<END\n{SLOW}\nEND")
    (server,) = home.servers()
    nvim.keys("i" + HALF)
    nvim.shows(WHOLE)
    nvim.keys("<C-e>")
    nvim.shows("")
    nvim.lua("is_slow = true")
    for n in range(0, len(REST) - 1, 2):  # on a busy machine the daemon may be too slow for some
        os.kill(server, signal.SIGSTOP)
        nvim.type(REST[n : n + 2])
        os.kill(server, signal.SIGCONT)
        until(lambda: nvim.ghost or nvim.lua("return #held > 0"), "an answer")
        if nvim.ghost:
            break

    assert nvim.ghost
    nvim.shows(WHOLE[n + 2 :])


def test_another_key_clears_it(start: Start, home: Home) -> None:
    """What no longer agrees is on no picture that has the other key."""
    nvim = writing(start, home)
    nvim.keys("i" + HALF)
    nvim.shows(WHOLE)
    n_pictures = len(nvim.screen.pictures)
    nvim.type("#")

    until(lambda: nvim.rows[0].startswith(HALF + "#"), "the key on the screen")
    for picture in nvim.screen.pictures[n_pictures:]:
        assert REST not in picture.rows[0] or "#" not in picture.rows[0]


def test_words_and_lines(start: Start, home: Home) -> None:
    """A word is taken and the rest stays; so does a line; the end of it is counted once."""
    first, second = REST.split(" ")
    nvim = writing(start, home)
    nvim.keys("i" + HALF)
    nvim.shows(WHOLE)
    n_requests = home.n_requests()
    nvim.keys("<C-l>")

    nvim.shows(f" {second}.")
    assert (nvim.lines, home.n_requests()) == ([HALF + first], n_requests)

    nvim.keys("<C-l>")
    nvim.shows(".")
    nvim.keys("<C-j>")
    until(lambda: nvim.lines[0] == HALF + WHOLE, "the rest of the line")


def test_undo(start: Start, home: Home) -> None:
    """One step takes the suggestion out again, the next what was typed before it."""
    nvim = writing(start, home)
    nvim.keys("i" + HALF)
    nvim.shows(WHOLE)
    nvim.keys("<Tab>")
    until(lambda: nvim.lines[0] == HALF + WHOLE, "the text to be there")
    nvim.keys(" And more.<Esc>u")

    until(lambda: nvim.lines == [HALF], "the suggestion to be undone")
    nvim.keys("u")
    until(lambda: nvim.lines == [""], "the rest to be undone")
    nvim.keys("<C-r><C-r>")
    until(lambda: nvim.lines[0].startswith(HALF + WHOLE), "all of it to be back")


def test_tab_is_a_tab(start: Start, home: Home) -> None:
    """Where nothing is shown, and in a snippet."""
    nvim = writing(start, home)
    nvim.keys("i<Tab>x")
    until(lambda: nvim.lines == ["\tx"], "a tab")

    nvim.keys("<Esc>:%d<CR>")
    nvim.lua("vim.cmd.startinsert() vim.snippet.expand('f($1, $2)')")
    until(lambda: nvim.call("nvim_get_mode")["mode"] in ("i", "s"), "the snippet")
    nvim.keys("<Tab>")
    until(lambda: nvim.cursor == (1, len("f(, ")), "the second place in the snippet")


def test_expression_for_tab(start: Start, home: Home) -> None:
    """The recipe of the manual for who has more than one thing on the key."""
    recipe = """lua vim.keymap.set('i', '<Tab>', function()
    \\ return require('afterword').is_shown() and '<Plug>(afterword-accept)' or '<Tab>'
    \\ end, { expr = true, remap = true })"""
    nvim = writing(start, home, init=recipe)
    nvim.keys("i<Tab>" + HALF)
    nvim.shows(WHOLE)
    nvim.keys("<Tab>")

    until(lambda: nvim.lines == ["\t" + HALF + WHOLE], "the suggestion")


def test_menu_keeps_its_keys(start: Start, home: Home) -> None:
    """While a menu is open nothing is drawn, and the keys are the menu's."""
    nvim = writing(start, home, text="Blorfenberg\n")
    nvim.keys("Go" + HALF[:4])
    until(lambda: nvim.ghost != "", "a suggestion")
    nvim.keys("<C-n>")
    until(lambda: nvim.call("nvim_call_function", "pumvisible", []), "the menu")
    nvim.shows("")
    assert nvim.lua("return require('afterword').is_shown()") is False

    nvim.keys("<C-n><C-y>")
    until(lambda: nvim.lines[-1] == "Blorfenberg", "what was chosen in the menu")


def test_dismissed(start: Start, home: Home) -> None:
    """It is gone until the next key; where nothing is shown the key is its own."""
    nvim = writing(start, home)
    nvim.keys("i" + HALF[:-1])
    nvim.keys(" ")
    nvim.shows(WHOLE)
    nvim.keys("<C-e>")
    nvim.shows("")
    nvim.keys("dr")
    until(lambda: nvim.ghost.startswith(REST[2:8]), "it to be back")


def test_late_acceptance(start: Start, home: Home) -> None:
    """If the text has changed meanwhile nothing is inserted."""
    nvim = writing(start, home)
    nvim.keys("i" + HALF)
    nvim.shows(WHOLE)
    taken = nvim.lua(
        "vim.api.nvim_buf_set_text(0, 0, 0, 0, 3, { 'Changed' })"
        " return require('afterword').accept()"
    )

    assert (taken, nvim.lines) == (False, ["Changed" + HALF[3:]])


class Place(NamedTuple):
    """Where something is typed, and what the buffer holds once it is taken."""

    text: str
    keys: str
    lines: list[str]
    init: str = ""
    shown: str = WHOLE


PLACES = {
    "in a line": Place("One  and more.\n", f"04li{HALF}", [f"One {HALF}{WHOLE} and more."]),
    "in an indentation": Place(
        "def f():\n    x = 1\n", f"Go{HALF}", ["def f():", "    x = 1", f"    {HALF}{WHOLE}"],
        "set autoindent",
    ),
    "in one of tabs": Place(
        "a:\n\tb\n", f"Go{HALF}", ["a:", "\tb", f"\t{HALF}{WHOLE}"], "set autoindent ts=4"
    ),
    "before a closer": Place("f()\n", f"0f)i{HALF}", [f"f({HALF}{WHOLE})"]),
    "after an emoji": Place("", f"i👩‍👩‍👧 🚂 {HALF}", [f"👩‍👩‍👧 🚂 {HALF}{WHOLE}"]),
    "after Chinese": Place("", f"i漢字と {HALF}", [f"漢字と {HALF}{WHOLE}"]),
    "with CRLF": Place("One.\r\nTwo.\r\n", f"Go{HALF}", ["One.", "Two.", HALF + WHOLE]),
}  # fmt: skip


@pytest.mark.parametrize("where", PLACES)
def test_places(start: Start, home: Home, where: str) -> None:
    """It lands behind the cursor, wherever that is, and nothing else changes."""
    place = PLACES[where]
    nvim = writing(start, home, place.text, init=place.init)
    nvim.keys(place.keys)
    nvim.shows(place.shown)
    nvim.keys("<Tab>")

    until(lambda: nvim.lines == place.lines, f"{nvim.lines} to be {place.lines}")


# Where suggestions may go on into the next line, this one does.
CLOCK = ("Upstairs the clock struc", "k eleven.\nNobody heard it but the cat")


def test_crlf_on_disk(start: Start, home: Home) -> None:
    """A file with CRLF has them at every end of a line, and nowhere else."""
    home.settings("multiline = true\n")
    home.learn(CLOCK, name="clock.md")
    path = home.file("dos.md", "One.\r\n")
    nvim = start(path, init=TAB).ready()
    nvim.keys("Go" + CLOCK[0])
    until(lambda: "\n" in nvim.ghost, "a suggestion of two lines")
    nvim.keys("<Tab>")
    until(lambda: "Nobody heard it but" in "\n".join(nvim.lines), "the text")
    nvim.keys("<Esc>:w<CR>")

    begin = b"One.\r\nUpstairs the clock struck eleven.\r\nNobody heard it but"
    until(lambda: path.read_bytes().startswith(begin), "the file")
    assert b"\r" not in path.read_bytes().replace(b"\r\n", b"")
    assert b"\n" not in path.read_bytes().replace(b"\r\n", b"")


def test_drawn_as_it_will_be(start: Start, home: Home) -> None:
    """Nothing on the screen moves when it is taken: what was grey is text, in the same cells."""
    nvim = writing(start, home, "f(  and more)\n\tsecond\n")
    nvim.keys(f"03li{HALF}")
    nvim.shows(WHOLE)
    before = nvim.rows[:2]
    nvim.keys("<Tab>")

    until(lambda: WHOLE in nvim.lines[0], "the text")
    until(lambda: nvim.ghost != WHOLE, "the ghost to be gone")
    assert nvim.rows[0].startswith(before[0].removesuffix(" and more)"))


def test_hidden(start: Start, home: Home) -> None:
    """While `b:afterword_hidden` is set nothing is shown or asked; it counts at once, both ways."""
    nvim = writing(start, home)
    nvim.keys("i" + HALF)
    nvim.shows(WHOLE)
    nvim.lua("vim.b.afterword_hidden = true")
    nvim.shows("")
    n_requests = home.n_requests()
    nvim.type("dr")
    assert home.n_requests() == n_requests
    nvim.lua("vim.b.afterword_hidden = false")
    nvim.shows(WHOLE[2:])


def test_other_buffers_are_left_alone(start: Start, home: Home) -> None:
    """Nothing is looked at that is no text of the user's: prompts, terminals, help."""
    nvim = writing(start, home)
    nvim.command("new | setlocal buftype=nofile")
    nvim.keys("i" + HALF)
    until(lambda: nvim.lines == [HALF], "the text")

    assert nvim.lua("return #vim.lsp.get_clients({ bufnr = 0 })") == 0
    assert nvim.ghost == ""


def test_buffers_without_a_name(start: Start, home: Home) -> None:
    """Suggestions come there too, of two in the one that was entered last."""
    nvim = start(init=TAB).ready()
    nvim.keys("i" + HALF)
    nvim.shows(WHOLE)
    nvim.keys("<Esc>:new<CR>")
    until(lambda: nvim.lines == [""] and nvim.state, "the other buffer to be looked at")
    nvim.keys("i" + BRIDGE[0])
    nvim.shows(BRIDGE[1] + ".")


def test_next_and_previous(start: Start, home: Home) -> None:
    """Where there are several they come one after the other, and round."""
    init = "imap <C-f> <Plug>(afterword-next)\nimap <C-b> <Plug>(afterword-previous)\n"
    home.learn(("Snorvel gart", "ipmellen"), ("Snorvel gart", "ulepimbrose"))
    nvim = writing(start, home, init=init)
    nvim.keys("iSnorvel gart")
    until(lambda: nvim.ghost != "", "a suggestion")
    first = nvim.ghost
    nvim.keys("<C-f>")
    until(lambda: nvim.ghost not in ("", first), "another one")
    nvim.keys("<C-b>")
    nvim.shows(first)


def test_native(start: Start, home: Home, version: str) -> None:
    """Neovim's own drawing, with our keys; it asks 200 ms after the last one."""
    if version == "0.11":
        pytest.skip("Neovim 0.11 draws none itself")
    init = f"let g:afterword = {{'native': v:true}}\nhighlight! link ComplHint {GHOST}"
    nvim = writing(start, home, init=init)
    nvim.keys("i" + HALF)
    nvim.shows(WHOLE)
    nvim.keys("dr<C-l>")
    until(lambda: nvim.lines == [HALF + REST.split(" ")[0]], "a word")
    nvim.shows(" " + REST.split(" ")[1] + ".")
    nvim.keys("<Tab>")
    until(lambda: nvim.lines == [HALF + WHOLE], "the rest")
