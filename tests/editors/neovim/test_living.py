"""Living with the plug-in: what it adds to an editor, says, survives, and leaves behind."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from afterword_daemon import config
from afterword_daemon.protocol import Options
from daemons import connect, request
from homes import BRIDGE, MODEL, RIVER, Home, tool, until
from household import QUICK, text_of, watch
from neovims import PLUGIN, Neovim, Start
from test_learning_trained import EAGER

HALF, REST = RIVER
WHOLE = REST + "."
LONG_S = 300.0  # for a training, on a busy machine
TAB = "imap <Tab> <Plug>(afterword-accept)\n"
MANUAL = PLUGIN / "doc" / "afterword.txt"
GARDEN = ("The best thing about the garden is ", "that it goes on without us")
# A daemon of which the children train for so many symbols, and do not step back behind whatever
# else runs: on a machine that is never idle they would come to no end.
HASTY = """
import json, sys
sys.path += json.loads(sys.argv.pop(1))
import daemons
daemons._be_odd(json.loads(sys.argv.pop(1)))
from afterword_daemon import forgetting, learning, process
for one in (learning.Learning, forgetting.Forgetting):
    given = one.__init__.__kwdefaults__
    given["command"] = tuple(word for word in given["command"] if word != "--background")
learning.Learning.__init__.__kwdefaults__["command"] += ("--symbols", "20000", "--seed", "1")
sys.exit(process.main(sys.argv[1:]))
"""


def hasty(**changes: Any) -> tuple[str, ...]:
    """A command for it, with other constants as `household.quick` has them."""
    ours = [path for path in sys.path if "tests" in path]
    return sys.executable, "-c", HASTY, json.dumps(ours), json.dumps(QUICK | changes)


def test_off_asks_nothing(start: Start, home: Home) -> None:
    """After `:Afterword toggle` the daemon hears of no key, until it is on again."""
    nvim = start(home.file("note.txt")).ready()
    nvim.keys("i" + HALF)
    nvim.shows(WHOLE)
    nvim.keys("<Esc>:Afterword toggle<CR>")
    until(lambda: nvim.state == "off", "it to be off")
    n_requests = home.n_requests()
    nvim.keys("o")
    nvim.type(HALF)
    assert nvim.ghost == ""
    assert home.n_requests() == n_requests

    nvim.keys("<Esc>:Afterword toggle<CR>")
    until(lambda: nvim.state == "ready", "it to be on")
    nvim.keys("o" + BRIDGE[0])
    nvim.shows(BRIDGE[1] + ".")


def test_off_for_a_file_type(start: Start, home: Home) -> None:
    """There alone; the status is that of the window one is in."""
    nvim = start(home.file("note.txt")).ready()
    nvim.command("Afterword toggle python")
    nvim.command(f"split {home.file('a.py')}")
    until(lambda: nvim.state == "off-here", "it to be off in Python")
    nvim.command("wincmd p")
    until(lambda: nvim.state == "ready", "it to be on in text")
    nvim.keys("i" + HALF)
    nvim.shows(WHOLE)


def test_off_here(start: Start, home: Home) -> None:
    """In this buffer alone, and on again by the same words."""
    other = home.file("other.txt")
    nvim = start(home.file("note.txt")).ready()
    nvim.command("Afterword toggle here")
    until(lambda: nvim.state == "off-here", "it to be off")
    assert "off here; to change it back: :Afterword toggle here" in nvim.messages
    nvim.command(f"split {other}")
    until(lambda: nvim.state == "ready", "it to be on in another")
    nvim.command("wincmd p")
    until(lambda: nvim.state == "off-here", "it to be off still")
    nvim.command("Afterword toggle here")
    until(lambda: nvim.state == "ready", "it to be on")
    nvim.keys("i" + HALF)
    nvim.shows(WHOLE)


def test_daemon_killed_while_typing(start: Start, home: Home) -> None:
    """No error pops up, and with the next daemon suggestions are back."""
    until((home.paths.data / "memory").exists, "the memory on disk")
    nvim = start(home.file("note.txt")).ready()
    nvim.keys("i" + HALF)
    nvim.shows(WHOLE)
    killed = home.kill_daemon()
    nvim.type(REST + ".")
    until(lambda: nvim.state == "ready", "another daemon")
    nvim.type(" " + BRIDGE[0])
    until(lambda: nvim.ghost and f"{BRIDGE[1]}.".startswith(nvim.ghost), "suggestions")
    assert home.pid() != killed
    assert nvim.messages == ""


def test_server_killed(start: Start, home: Home) -> None:
    """The language server is started again."""
    nvim = start(home.file("note.txt")).ready()
    (server,) = home.servers()
    os.kill(server, signal.SIGKILL)
    until(lambda: set(home.servers()) - {server}, "another language server")
    attached = "local c = vim.lsp.get_clients({ bufnr = 0 })[1]; return c ~= nil and c.initialized"
    nvim.keys("i" + HALF[:-1])
    until(lambda: nvim.lua(attached), "it to have the text")
    nvim.keys(HALF[-1])
    nvim.shows(WHOLE)
    assert nvim.messages == ""


def test_restarted(start: Start, home: Home) -> None:
    """`:Afterword restart` puts another language server in the place of the one that runs."""
    nvim = start(home.file("note.txt")).ready()
    (server,) = home.servers()
    nvim.command("Afterword restart")
    until(lambda: home.servers() not in ([], [server]), "another language server")
    until(lambda: len(home.servers()) == 1, "the one before to be gone")
    nvim.keys("i" + HALF)
    nvim.shows(WHOLE)
    assert nvim.messages == ""


def test_two_windows_one_daemon(start: Start, home: Home) -> None:
    """Two Neovims, two language servers, one daemon."""
    one, other = (start(home.file(name)).ready() for name in ("one.txt", "other.txt"))
    for nvim in (one, other):
        nvim.keys("i" + HALF)
        nvim.shows(WHOLE)
    assert len(home.servers()) == 2
    status = home.status()
    assert status
    assert status.clients >= 2


def test_one_server_for_all_projects(start: Start, home: Home) -> None:
    """Files of several projects share it, and it knows the folders of all."""
    for project in ("a", "b"):
        (home.work / project / ".git").mkdir(parents=True)
    nvim = start(home.file("a/one.txt")).ready()
    nvim.command(f"split {home.file('b/two.txt')}")
    folders = "return vim.lsp.get_clients()[1].workspace_folders"
    uris = [(home.work / project).as_uri() for project in ("a", "b")]
    until(lambda: [one["uri"] for one in nvim.lua(folders)] == uris, "both folders")
    assert len(home.servers()) == 1


HOT = {"temperature": 1.5, "min_probability": 0.0}


def test_temperature_counts_from_the_next_key(start: Start, home: Home) -> None:
    """As soon as `config.toml` is saved, without anything being started anew."""
    begun = "Snorvel gart"  # two ways to go on, one as likely as the other
    home.learn((begun, "ipmellen"), (begun, "ulepimbrose"))
    documents = count()

    def answer(**options: Any) -> str:
        """In a document of its own: what one shows holds still, whatever the seed is then."""
        asked = request(
            begun,
            document=f"{next(documents)}",
            path="work/note.txt",
            language="text",
            options=Options(**options),
        )
        items = connection.complete(asked).items
        return items[0].text if items else ""

    with home.connect() as connection:
        cold = answer()
        # What is drawn hot is seldom probable enough to be shown, unless one asks for that.
        hot = (n for n in range(100) if not cold.startswith(answer(**HOT, seed=n)))
        seed = next(hot)
        nvim = start(home.file("note.txt")).ready()
        nvim.keys(f"i{begun}")
        nvim.shows(cold)
        home.settings(f"temperature = 1.5\neagerness = 0.0\nseed = {seed}\n")
        until(lambda: answer() not in (cold, ""), "the settings")
        nvim.keys("<BS>")
        until(lambda: nvim.lines == [begun[:-1]], "the key")
        nvim.keys(begun[-1])

        until(lambda: nvim.ghost not in (cold, ""), "another suggestion")
        assert not cold.startswith(nvim.ghost)


def test_status_for_who_asks(start: Start, home: Home) -> None:
    """The same by a function, a variable of the buffer and an event."""
    init = "autocmd User AfterwordStatus lua _G.seen = vim.tbl_extend('force', {}, _G.seen or {},"
    init += " { [vim.v.event and require('afterword').status().state] = true })"
    nvim = start(home.file("note.txt"), init=init).ready()
    until(lambda: nvim.lua("return require('afterword').statusline()") == "✎", "the sign")
    assert nvim.lua("return _G.seen.ready")
    assert nvim.lua("return vim.b.afterword.model")
    assert nvim.lua("return vim.b.afterword.reason")
    nvim.command("Afterword pause")
    until(lambda: nvim.lua("return require('afterword').statusline()") == "✎ paused", "a pause")
    nvim.command("Afterword resume")
    until(lambda: nvim.state == "ready", "the end of it")
    nvim.command("enew | setlocal buftype=nofile")
    assert nvim.lua("return require('afterword').statusline()") == ""


def test_lualine(home: Home, version: str, start: Start) -> None:
    """With the real lualine the component is there by its name."""
    lualine = tool("neovim/0.12/usr/share/nvim-lualine", "lualine")
    nvim = start(
        home.file("note.txt"),
        init=f"set runtimepath^={lualine}\n"
        "lua require('lualine').setup({ options = { icons_enabled = false },"
        " sections = { lualine_x = { 'afterword' } } })",
    ).ready()
    nvim.has("✎")


def test_health(start: Start, home: Home) -> None:
    """What the editor knows and what `afterword doctor` finds, and no error."""
    nvim = start(home.file("note.txt"), init=TAB + "let g:afterword = {'nativ': 1}").ready()
    nvim.command("Afterword doctor")
    until(lambda: any("daemon: running" in line for line in nvim.lines), "the doctor")
    text = "\n".join(nvim.lines)
    for part in ("<Tab> takes", "from $PATH", "looks at 1 buffer\n", "state: ready", "model: "):
        assert part in text
    assert "settings: nativ is unknown" in text
    assert "ERROR" not in text


def test_one_encoding(start: Start, home: Home) -> None:
    """UTF-16, as the other servers: Neovim warns of buffers with two."""
    nvim = start(home.file("note.txt")).ready()
    assert nvim.lua("return vim.lsp.get_clients()[1].offset_encoding") == "utf-16"


BARE = {"PATH": "/usr/bin:/bin", "VIRTUAL_ENV": ""}


def test_missing(start: Start, home: Home) -> None:
    """Without a server it says once how to get it, then only to who asks."""
    note = home.file("note.txt")
    nvim = start(note, environ=BARE)
    until(lambda: nvim.state == "missing", "it to be found missing")
    until(lambda: "see :checkhealth afterword" in nvim.messages, "the hint")
    nvim.keys("i" + HALF)
    until(lambda: nvim.lines == [HALF], "the text")
    again = start(note, environ=BARE, init="set noswapfile")
    until(lambda: again.state == "missing", "it to be found missing")
    assert "not installed" not in again.messages
    again.command("checkhealth afterword")
    assert "pipx install" in "\n".join(again.lines)


PLACES = ("~/.local/bin", "~/.local/share/uv/tools/afterword/bin", "~/venv/bin",
          "~/.local/share/pipx/venvs/afterword/bin")  # fmt: skip


@pytest.mark.parametrize("where", PLACES)
def test_found(start: Start, home: Home, where: str) -> None:
    """Where tools are installed to, though no PATH has it: editors of a desktop have none."""
    folder = Path(where.replace("~", str(home.user)))
    folder.mkdir(parents=True)
    (folder / "afterword-lsp").symlink_to(home.server)
    environ = BARE | ({"VIRTUAL_ENV": str(folder.parent)} if "venv" in where else {})
    nvim = start(home.file("note.txt"), environ=environ).ready()
    nvim.keys("i" + HALF)
    nvim.shows(WHOLE)


def test_commands_and_their_completion(start: Start, home: Home) -> None:
    """All of them complete, all are in the manual, and what is unknown is said to be."""
    nvim = start(home.file("note.txt")).ready()
    names = nvim.lua("return vim.fn.getcompletion('Afterword ', 'cmdline')")
    manual = MANUAL.read_text(encoding="utf-8")
    assert {"toggle", "pause", "resume", "learn", "forget", "why", "status"} <= {*names}
    assert [name for name in names if f":Afterword {name}" not in manual] == []
    assert "python" in nvim.lua("return vim.fn.getcompletion('Afterword toggle pyth', 'cmdline')")
    nvim.command("Afterword tgl")
    assert "did you mean toggle?" in nvim.messages


def test_manual(start: Start, home: Home, tmp_path: Path) -> None:
    """It has its tags, all keys and all settings."""
    manual = MANUAL.read_text(encoding="utf-8")
    (tmp_path / "afterword.txt").write_text(manual, encoding="utf-8")
    nvim = start(plugin=False)
    nvim.command(f"helptags {tmp_path}")
    tags = {line.split("\t")[0] for line in (tmp_path / "tags").read_text().splitlines()}
    assert {*re.findall(r"\|([a-z:A-Z-]*fterword[^|\s]*)\|", manual)} <= tags
    for word in ("cmd", "settings", "hide_with_menu", "native", "b:afterword_hidden"):
        assert word in manual
    for name in re.findall(r"\['([a-z-]+)'\] = ", (PLUGIN / "plugin/afterword.lua").read_text()):
        assert f"<Plug>(afterword-{name})" in manual
    assert max(map(len, manual.splitlines())) <= 80


def test_pages(start: Start, home: Home) -> None:
    """What is said in full has a window of its own, which q closes."""
    nvim = start(home.file("note.txt")).ready()
    for command, has in (("status", "model"), ("stats", "shown"), ("log", "the language server's")):
        nvim.command(f"Afterword {command}")
        until(lambda has=has: has in "\n".join(nvim.lines), f"{command}: {has}")  # type: ignore[misc]
        nvim.keys("q")
        until(lambda: nvim.lines == [""], "the window to be gone")
    nvim.command("Afterword config")
    until(lambda: nvim.lines[0].startswith("watch = "), "the settings")


def test_report(start: Start, home: Home) -> None:
    """It is made, opened in the browser, and said where."""
    opened = home.folder / "opened"
    browser = home.folder / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {shlex.quote(str(opened))}\n', encoding="utf-8")
    browser.chmod(0o755)
    nvim = start(home.file("note.txt"), environ={"BROWSER": f"{browser} %s"}).ready()
    nvim.command("Afterword report")
    report = f"{home.paths.data}/reports/{MODEL}.html"
    until(lambda: report in "\n".join(nvim.lines), "the page that says where")
    until(lambda: opened.exists() and report in opened.read_text(), "the browser")


def test_forget(make_home: Callable[[str], Home], version: str) -> None:
    """It asks; what stood in the file alone is not suggested any more, and the file stays."""
    home = make_home("base")
    garden = home.notes / "garden.md"
    garden.write_text(text_of(GARDEN), encoding="utf-8")
    (home.notes / "river.md").write_text(text_of(RIVER), encoding="utf-8")
    watch(home.paths, home.notes)
    with connect(home.paths, *hasty()):
        until(lambda: home.suggestion(GARDEN[0]) == f"{GARDEN[1]}.", "it to be learned")
        nvim = Neovim(home, version, garden).ready()
        try:
            nvim.keys(":Afterword forget<CR>")
            nvim.has("Forget ~/notes/garden.md for good?")
            nvim.keys("n:echo 'asked'<CR>")
            nvim.has("asked")
            assert home.suggestion(GARDEN[0]) == f"{GARDEN[1]}."
            nvim.keys(":Afterword forget<CR>")
            nvim.has("Forget ~/notes/garden.md for good?")
            nvim.keys("f")
            until(lambda: GARDEN[1][:8] not in home.suggestion(GARDEN[0]), "it to be forgotten")
            until(lambda: "is being forgotten" in nvim.messages, "the answer")
            until(lambda: "garden.md: forgotten" in nvim.messages, "the end of it", LONG_S)
            assert garden.read_text(encoding="utf-8") == text_of(GARDEN)
            nvim.command(f"edit {home.file('after.md')}")
            nvim.ready()
            n_pictures = len(nvim.screen.pictures)
            nvim.keys(f"i{GARDEN[0]}<CR>{HALF}")
            nvim.shows(WHOLE)  # the rest is known as before
            assert not [one for one in nvim.screen.pictures[n_pictures:] if GARDEN[1] in one.ghost]
        finally:
            nvim.quit()


def test_learn_a_folder(start: Start, home: Home) -> None:
    """One that is named, from now on. The answer says how to undo that, all of it on the screen,
    and the cursor stays where it was.
    """
    name = f"~/{'letters' * 8}"
    folder = home.user / name[2:]
    folder.mkdir()
    (folder / "first.md").write_text(text_of(GARDEN), encoding="utf-8")
    nvim = start(home.file("note.md")).ready()
    assert nvim.lua("return vim.fn.getcompletion('Afterword learn ~/lett', 'cmdline')")
    nvim.command(f"Afterword learn {name}")
    said = f"Afterword: {name} is learned from now on; to undo: afterword watch remove {name}"
    until(lambda: said in "".join(nvim.rows), "the answer")
    assert nvim.lines == [""]
    until(lambda: home.suggestion(GARDEN[0]) == f"{GARDEN[1]}.", "it to be learned")
    nvim.keys("i" + GARDEN[0])
    nvim.shows(f"{GARDEN[1]}.")


def test_why(start: Start, home: Home) -> None:
    """There is always a reason."""
    nvim = start(home.file("note.txt")).ready()
    nvim.keys("iqqqq<Esc>:Afterword why<CR>")
    until(lambda: "Afterword: " in nvim.messages, "a reason")


def test_nothing_is_left(start: Start, home: Home) -> None:
    """When Neovim ends, the language server does."""
    nvim = start(home.file("note.txt")).ready()
    assert len(home.servers()) == 1
    nvim.quit()
    until(lambda: home.servers() == [], "the language server to be gone")


# What stands for menus that cannot be had here, as far as our lines meet them: how each tells that
# it is open, and how it calls what is on a key. `keys` is what our lines say of keys.
MENUS = {
    "blink.cmp": """
        local is_open = false
        function menu(opens)
          is_open = opens
          local pattern = opens and 'BlinkCmpMenuOpen' or 'BlinkCmpMenuClose'
          vim.api.nvim_exec_autocmds('User', { pattern = pattern, modeline = false })
        end
        local commands = {
          select_next = function()
            chosen = is_open and (chosen or 0) + 1 or chosen
            return is_open
          end,
          snippet_forward = function() end,
        }
        vim.keymap.set('i', '<Tab>', function()
          for _, command in ipairs(keys['<Tab>']) do
            if command == 'fallback' then
              return '<Tab>'
            elseif (commands[command] or command)(commands) then
              return ''
            end
          end
        end, { expr = true })
    """,
    "nvim-cmp": """
        local is_open = false
        function menu(opens)
          is_open = opens
          heard[opens and 'menu_opened' or 'menu_closed']()
        end
        function cmp.visible() return is_open end
        function cmp.select_next_item() chosen = (chosen or 0) + 1 end
        vim.keymap.set('i', '<Tab>', function()
          keys['<Tab>'](function() vim.api.nvim_feedkeys('\t', 'nit', true) end)
        end)
        -- It says at every key that it is closed.
        vim.api.nvim_create_autocmd('TextChangedI', { callback = function() menu(is_open) end })
    """,
}
BEFORE = """
    heard, cmp = {}, { event = {} }
    function cmp.event:on(event, callback) heard[event] = callback end
    package.preload.cmp = function() return cmp end
"""


@pytest.mark.parametrize("name", MENUS)
def test_recipes_for_other_menus(start: Start, home: Home, name: str) -> None:
    """While a menu is open nothing is grey and Tab is the menu's; else Tab takes, or is a Tab."""
    manual = MANUAL.read_text(encoding="utf-8")
    recipe = manual.partition(f"*afterword-{name}* >lua\n")[2]
    lines, on_key = re.findall(r"(?:\A|>lua\n)(.*?)\n<", recipe, re.DOTALL)[:2]
    given = f"{BEFORE}\n{lines}\nlocal keys = {{\n{on_key}\n}}\n{MENUS[name]}"
    script = home.file("menu.lua", given)
    nvim = start(home.file("note.txt"), init=f"set noexpandtab\nsource {script}").ready()
    nvim.keys("i<Tab>" + HALF)
    nvim.shows(WHOLE)
    nvim.lua("menu(true)")
    nvim.shows("")
    nvim.keys("<Tab>")
    until(lambda: nvim.lua("return chosen"), "the key in the menu")
    nvim.lua("menu(false)")
    nvim.shows(WHOLE)
    nvim.keys("<Tab>")
    until(lambda: nvim.lines == ["\t" + HALF + WHOLE], "the text")
    assert nvim.lua("return chosen") == 1


def test_entries_in_a_menu(start: Start, home: Home) -> None:
    """With `popup` any menu that asks language servers has the suggestion, as CTRL-X CTRL-O."""
    init = "let g:afterword = {'settings': {'popup': v:true}}\nset completeopt=menuone,noselect"
    nvim = start(home.file("note.txt"), init=init).ready()
    nvim.keys("i" + HALF)
    nvim.shows(WHOLE)
    nvim.keys("<C-x><C-o>")
    until(lambda: nvim.call("nvim_call_function", "pumvisible", []), "the menu")
    words = nvim.lua("return vim.tbl_map(function(i) return i.word end,"
                     " vim.fn.complete_info({'items'}).items)")  # fmt: skip
    assert any(WHOLE.startswith(word) for word in words)


@pytest.mark.slow
def test_learn_from_the_editor(make_home: Callable[[str], Home], version: str) -> None:
    """Nothing is learned yet; `:Afterword learn` does it, and the editor shows how far it is."""
    home = make_home("base")
    watch(home.paths, home.notes, quiet_s=0.1)
    settings = config.path_of(home.paths)
    settings.write_text(settings.read_text() + "max_cpu_percent = 100\n")
    letters = [f"Dear Judy, letter {n} is of gardens, and of {n * 7} roses.\n" for n in range(400)]
    home.file("letters.txt", "".join(letters))
    init = "set statusline=%{v:lua.require'afterword'.statusline()}\n"
    init += "autocmd LspProgress * let g:progress = get(g:, 'progress', 0) + 1"
    with connect(home.paths, *hasty(**EAGER)):
        nvim = Neovim(home, version, home.file("note.txt"), init=init)
        try:
            until(lambda: nvim.state not in ("", "starting"), "a daemon")
            nvim.command("Afterword learn")
            until(lambda: "~/work is learned from now on" in nvim.messages, "the answer")
            until(lambda: nvim.state == "learning", "learning", LONG_S)
            until(lambda: "%" in nvim.rows[-2], "how far it is", LONG_S)
            assert nvim.rows[-2].startswith("✎ learning ")
            until(lambda: nvim.state == "ready", "the end of it", LONG_S)
            assert nvim.lua("return vim.g.progress") >= 2  # and so did Neovim's own way
        finally:
            nvim.quit()


def test_formatted() -> None:
    """As stylua has it."""
    stylua = tool("neovim/stylua", "stylua")
    result = subprocess.run(
        [stylua, "--check", PLUGIN], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout
