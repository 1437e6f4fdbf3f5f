"""`afterword install` and `uninstall` of the plug-ins: it says what it writes, and can be undone.

The programs of editors are stood in for by small scripts that note what they are told; at the end
the real ones come.
"""

import io
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
from afterword_daemon import cli, plugins
from homes import ROOT, Home, tool

SERVER = Path(sys.executable).parent / "afterword-lsp"


class Result(NamedTuple):
    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Place:
    """A user's home, empty, and a folder of programs that is all of PATH."""

    user: Path
    programs: Path
    run: Callable[..., Result]

    @property
    def neovim(self) -> Path:
        return self.user / ".local/share/nvim/site/pack/afterword/start/afterword"

    @property
    def noted(self) -> Path:
        """What VS Code's extension reads."""
        return self.user / "afterword/data/editors"

    def program(self, name: str, does: str) -> Path:
        """A program that notes each call in `calls`, and does that."""
        path = self.programs / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.user}/calls\n{does}\n')
        path.chmod(0o755)
        return path

    @property
    def calls(self) -> list[str]:
        """What the programs were told so far."""
        path = self.user / "calls"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def files(self) -> set[Path]:
        """All there are, but for the notes."""
        return {path for path in self.user.rglob("*") if path.is_file() and path.name != "calls"}


@pytest.fixture
def place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Place]:
    """A home in which this process is until the end of the test."""
    user, programs = tmp_path / "user", tmp_path / "programs"
    user.mkdir()
    programs.mkdir()
    for name in [*os.environ]:
        if name.startswith(("XDG_", "NVIM", "AFTERWORD_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(user))
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("AFTERWORD_HOME", str(user / "afterword"))

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
        try:
            code = cli.main(arguments)
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 1
        return Result(code, *capsys.readouterr())

    with pytest.MonkeyPatch.context() as signals:
        signals.setattr("afterword_daemon.cli.obey_signals", lambda: None)
        yield Place(user, programs, run)


@pytest.fixture
def extension(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A packaged extension, which a fresh checkout has not."""
    sources = tmp_path / "editors"
    shutil.copytree(ROOT / "editors" / "neovim", sources / "neovim")
    (sources / "vscode").mkdir()
    path = sources / "vscode" / "afterword.vsix"
    path.write_bytes(b"an extension")
    monkeypatch.setattr(plugins, "SOURCES", (sources,))
    return path


# -- Neovim ------------------------------------------------------------------------------------


def test_the_plug_in_is_put_where_neovim_loads_it_and_taken_back(place: Place) -> None:
    """All that Neovim needs of it, the server's path, the index of its help; nothing else."""
    before = place.files()
    result = place.run("install", "neovim")

    assert (result.code, result.err) == (0, "")
    assert f"written: {place.neovim} (" in result.out
    assert "<Plug>(afterword-accept)" in result.out
    assert "afterword uninstall neovim    (undo)" in result.out
    for folder in plugins.NEOVIMS_FOLDERS:
        for path in (ROOT / "editors/neovim" / folder).rglob("*"):
            if path.is_file() and path.name != "tags":
                name = path.relative_to(ROOT / "editors/neovim")
                assert (place.neovim / name).read_bytes() == path.read_bytes()
    installed = (place.neovim / "lua/afterword/installed.lua").read_text(encoding="utf-8")
    assert f'return {{ server = "{SERVER}" }}' in installed
    assert all(place.neovim in path.parents for path in place.files())

    assert place.run("uninstall", "neovim").out == f"removed: {place.neovim}\n"
    assert place.files() == before
    assert not place.neovim.parents[1].exists()
    assert "there is nothing to remove" in place.run("uninstall", "neovim").out


def test_what_would_be_done_is_shown_and_not_done(place: Place) -> None:
    """Every file that is written then, and what will be deleted."""
    told = place.run("install", "neovim", "--dry-run").out
    assert place.files() == set()

    place.run("install", "neovim")
    for path in place.files():
        assert str(path) in told or f"  {path.relative_to(place.neovim)}\n" in told
    would = place.run("uninstall", "neovim", "--dry-run").out
    assert would == f"would delete {place.neovim}\n"
    assert place.neovim.exists()


def test_a_newer_version_takes_the_place_of_an_older_one(place: Place) -> None:
    """Without a trace of it, and without a question."""
    place.run("install", "neovim")
    old = place.neovim / "lua/afterword/old.lua"
    old.write_text("error('old')", encoding="utf-8")
    changed = place.neovim / "plugin/afterword.lua"
    changed.write_text("error('older')", encoding="utf-8")
    assert "by another version" in place.run("install").out
    assert "fix: afterword install neovim" in place.run("doctor", "editors").out

    assert place.run("install", "neovim").code == 0
    assert not old.exists()
    assert changed.read_bytes() == (ROOT / "editors/neovim/plugin/afterword.lua").read_bytes()


@pytest.mark.parametrize("what", ["a folder", "a link", "a link to nothing", "a file", "a mark"])
def test_what_somebody_else_put_there_is_left_alone(place: Place, what: str) -> None:
    """Neither replaced nor deleted: who works on the plug-in may have a link there."""
    place.neovim.parent.mkdir(parents=True)
    mine = place.user / "mine"
    mark = mine / plugins.HOW_MADE
    match what:
        case "a folder":
            (place.neovim / "plugin").mkdir(parents=True)
        case "a link":
            mark.parent.mkdir(parents=True)
            mark.write_text(plugins.MARK, encoding="utf-8")
            place.neovim.symlink_to(mine)
        case "a link to nothing":
            place.neovim.symlink_to(mine)
        case "a file":
            place.neovim.write_text(plugins.MARK, encoding="utf-8")
        case "a mark":
            (place.neovim / plugins.HOW_MADE).parent.mkdir(parents=True)
            (place.neovim / plugins.HOW_MADE).write_text("return {}", encoding="utf-8")
    before = place.neovim.lstat(), place.files()

    for verb in ("install", "uninstall"):
        for more in ((), ("--dry-run",)):
            result = place.run(verb, "neovim", *more)
            assert result.code == 1
            assert f"error: {place.neovim}: `afterword install` did not write this" in result.err
    assert (place.neovim.lstat(), place.files()) == before


def test_other_folders_of_neovim_are_its_own(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does itself, by XDG_DATA_HOME and NVIM_APPNAME."""
    monkeypatch.setenv("XDG_DATA_HOME", str(place.user / "data"))
    monkeypatch.setenv("NVIM_APPNAME", "try/nvim")
    place.run("install", "neovim")
    assert (place.user / "data/try/nvim/site/pack/afterword/start/afterword/plugin").is_dir()


def test_a_neovim_that_is_too_old_is_named(place: Place) -> None:
    """Rather than left to fail at its next start."""
    old = place.program("nvim", "echo NVIM v0.9.5")
    result = place.run("install", "neovim")
    assert result.code == 1
    assert f"error: {old}: this is Neovim 0.9, and the plug-in needs 0.11" in result.err
    assert place.files() == set()
    assert "this is Neovim 0.9" in place.run("install").out

    place.program("nvim", "echo NVIM v0.11.0")
    place.run("install", "neovim")
    place.program("nvim", "echo NVIM v0.10.4")
    assert place.run("uninstall", "neovim").code == 0
    assert place.files() == set()


def test_what_a_killed_deletion_left_is_gone_with_the_next(place: Place) -> None:
    """Neovim starts every folder there, under whatever name: it would have the plug-in twice."""
    for verb in ("install", "uninstall"):
        place.run("install", "neovim")
        tomb = place.neovim.with_name("afterword.0123abcd.tomb")
        place.neovim.rename(tomb)
        assert place.run(verb, "neovim").code == 0
        assert not tomb.exists()
    assert place.files() == set()


def test_editors_may_speak_in_any_encoding(place: Place, extension: Path) -> None:
    """What they say is shown as well as may be."""
    place.program("nvim", r"printf 'NVIM v0.12.0 \351\n'")
    assert place.run("install", "neovim").code == 0
    place.program("code", r"printf 'refus\351\n'; exit 1")
    assert "refus\ufffd" in place.run("install", "vscode").err


# -- VS Code -----------------------------------------------------------------------------------


def test_every_kin_of_vs_code_that_is_here_gets_the_extension(
    place: Place, extension: Path
) -> None:
    """And is told where the server is; afterwards it is taken from all of them."""
    place.program("codium", "")
    place.program("code-server", "")
    told = place.run("install", "vscode", "--dry-run").out
    assert (place.calls, place.files()) == ([], set())

    result = place.run("install", "vscode")
    assert (result.code, result.err) == (0, "")
    assert "VSCodium, code-server: " in result.out
    install = f"--install-extension {extension} --force"
    assert place.calls == [f"codium {install}", f"code-server {install}"]
    assert all(f"would run: {place.programs}/{call}" in told for call in place.calls)
    assert (place.noted / "server").read_text(encoding="utf-8") == f"{SERVER}\n"
    assert stat.S_IMODE((place.noted / "server").stat().st_mode) == 0o600

    assert place.run("uninstall", "vscode").code == 0
    assert place.calls[2:] == [
        "codium --uninstall-extension afterword.afterword",
        "code-server --uninstall-extension afterword.afterword",
    ]
    assert place.files() == set()


def test_an_editor_that_refuses_is_quoted(place: Place, extension: Path) -> None:
    """Nothing is written then; what another one took is not taken back, nor what was there."""
    code = place.program("code", "echo no such display >&2; exit 1")
    result = place.run("install", "vscode")
    assert result.code == 1
    assert f"error: {code}: no such display" in result.err
    assert str(extension) in result.err
    assert place.files() == set()

    place.program("cursor", "")
    assert f"error: {code}: no such display" in place.run("install", "vscode").err
    assert place.noted.exists()
    place.program("cursor", "exit 1")
    assert place.run("install", "vscode").code == 1
    assert place.noted.exists()
    assert not any("--uninstall" in call for call in place.calls)


def test_without_any_or_without_the_extension_there_is_a_remedy(
    place: Place, extension: Path
) -> None:
    """How to do it by hand, and how to make it."""
    result = place.run("install", "vscode")
    assert (result.code, place.files()) == (1, set())
    assert f"Install from VSIX, {extension}" in result.err

    place.program("code", "")
    place.run("install", "vscode")
    extension.unlink()
    result = place.run("install", "vscode")
    assert result.code == 1
    assert "make vsix" in result.err
    assert place.run("uninstall", "vscode").code == 0
    assert place.files() == set()


def test_without_a_name_it_says_what_there_is_and_does_nothing(
    place: Place, extension: Path
) -> None:
    """Which editors are here, what would be written, what is there already."""
    place.program("nvim", "echo NVIM v0.12.4")
    place.program("code", "")
    told = place.run("install").out
    assert "for Neovim: " in told
    assert "for VS Code: " in told
    assert "hint: afterword install neovim" in told
    assert "nothing is set up" in place.run("uninstall").out
    assert place.files() == set()

    place.run("install", "neovim")
    assert f"set up: {place.neovim}" in place.run("install").out
    assert "hint: afterword install vscode" in place.run("install").out
    told = place.run("uninstall").out
    assert f"set up: {place.neovim}" in told
    assert "vscode" not in told
    assert place.neovim.exists()

    place.run("install", "vscode")
    assert "hint: " not in place.run("install").out  # nothing is left to do


# -- the real ones -----------------------------------------------------------------------------


@pytest.mark.editor
@pytest.mark.parametrize("version", ["0.12", "0.11"])
def test_neovim_loads_what_was_installed(home: Home, version: str) -> None:
    """By itself, with its help; and it knows the server's path."""
    nvim = tool(f"neovim/{version}/bin/nvim", f"Neovim {version}")
    assert home.run(home.server.parent / "afterword", "install", "neovim").returncode == 0
    program = (
        "lua io.write(vim.fn.exists(':Afterword'), ' ', require('afterword.installed').server, ' ')"
    )
    tags = home.user / ".local/share/nvim/site/pack/afterword/start/afterword/doc/tags"
    ours = tags.read_bytes()
    help = ("help afterword", "lua io.write(vim.fn.expand('%:t'))", f"helptags {tags.parent}")
    words = [word for command in (program, *help) for word in ("-c", command)]
    result = home.run(nvim, "--headless", *words, "-c", "qall!")

    assert result.stdout == f"2 {home.server} afterword.txt", result.stderr
    assert tags.read_bytes() == ours


@pytest.mark.editor
def test_vs_code_has_the_extension_until_it_is_taken_back(home: Home) -> None:
    """The real program installs it, lists it, and lists it no more."""
    node = tool("vscode/node/node_modules/node/bin/node", "VS Code")
    entry = tool("vscode/code-server/node_modules/code-server/out/node/entry.js", "VS Code")
    if not (ROOT / "editors/vscode/afterword.vsix").is_file():
        pytest.skip("the extension is not built: make vsix")
    programs = home.user / "programs"
    programs.mkdir()
    code = programs / "code-server"
    code.write_text(f'#!/bin/sh\nEXTENSIONS_GALLERY="{{}}" exec {node} {entry} "$@"\n')
    code.chmod(0o755)
    variables = {"PATH": f"{programs}:{os.environ['PATH']}"}
    afterword = home.server.parent / "afterword"

    result = home.run(afterword, "install", "vscode", variables=variables)
    assert result.returncode == 0, result.stderr
    assert "afterword.afterword" in home.run(code, "--list-extensions").stdout
    assert home.run(afterword, "uninstall", "vscode", variables=variables).returncode == 0
    assert "afterword.afterword" not in home.run(code, "--list-extensions").stdout
