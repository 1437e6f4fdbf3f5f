"""`afterword install` and `uninstall` of the plug-ins: it says what it writes, and can be undone.

The programs of editors are stood in for by small scripts that note what they are told; at the end
the real ones come.
"""

import errno
import io
import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
from afterword_daemon import cli, installing, plugins
from afterword_trainer import durable
from crash_disks import FailingDisk, QuickDisk
from homes import PATIENCE_S, ROOT, Home, Which, tool

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
        """All there are, but for the notes of programs, and what processes wait for."""
        others = ("calls", installing.LOCK)
        return {p for p in self.user.rglob("*") if p.is_file() and p.name not in others}


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
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A plug-in of a few files, in place of the one for Neovim; what is in them."""
    files = {"plugin/afterword.lua": b"1", "lua/afterword/init.lua": b"2", "doc/afterword.txt": b""}
    for name, data in files.items():
        path = tmp_path / "sources/neovim" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    monkeypatch.setattr(plugins, "SOURCES", (tmp_path / "sources",))
    return files


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


# -- what goes wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "error", "remedy"),
    [
        (errno.EACCES, "permission denied", "change its owner or mode, or set XDG_DATA_HOME"),
        (errno.EROFS, "the file system is read-only", "set XDG_DATA_HOME"),
        (errno.ENOSPC, "the disk is full", "free some space"),
    ],
)
def test_what_cannot_be_written_has_a_remedy_of_its_place(
    place: Place, small: object, monkeypatch: pytest.MonkeyPatch, code: int, error: str, remedy: str
) -> None:
    """AFTERWORD_HOME is none: it does not move Neovim's folder. Who refuses is named."""

    class Refusing(durable.Disk):
        def make_folder(self, path: Path) -> None:
            raise OSError(code, os.strerror(code))

    for ours in (".local", "afterword/data"):
        (place.user / ours).mkdir(parents=True)
    monkeypatch.setattr(durable, "disk", Refusing())
    result = place.run("install", "neovim")
    assert result.code == 1
    folder = place.user / (".local/share" if code == errno.ENOSPC else ".local")
    assert result.err.startswith(f"error: {folder}: {error}\n\nhint: {remedy}")
    assert "AFTERWORD_HOME" not in result.err
    assert place.files() == set()


@pytest.mark.slow
def test_a_folder_that_is_closed_to_us_is_left_alone(make_home: Callable[[Which], Home]) -> None:
    """Ours or not, nobody can tell; nothing is deleted."""
    home = make_home("none")
    as_anybody = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")  # else all is open to root
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("there is no setpriv, which makes root as good as anybody")
    run = [*(as_anybody if os.geteuid() == 0 else ()), sys.executable, "-m", "afterword_daemon.cli"]
    folder = home.user / ".local/share/nvim/site/pack/afterword/start/afterword"
    assert "written: " in home.run(*run, "install", "neovim").stdout
    for closed in (folder, folder.parents[3]):
        closed.chmod(0)
        results = [home.run(*run, verb, "neovim") for verb in ("install", "uninstall")]
        closed.chmod(0o700)
        for result in results:
            told = f"error: {closed}: permission denied\n\nhint: change its owner or mode"
            assert (result.returncode, result.stderr[: len(told)]) == (1, told)
    assert "there already: " in home.run(*run, "install", "neovim").stdout


@pytest.mark.slow
@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("verb", ["install", "update", "uninstall"])
def test_whatever_fails_nothing_is_lost(
    place: Place,
    small: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    for_ever: bool,
) -> None:
    """At each call of the system: once, as on a full disk, or from then on, as after a kill.

    What is the user's stays. What Neovim would start is whole: the new, or after a failure the old.
    The next time all is well.
    """
    mine = {
        place.neovim.parent / "mine/plugin/mine.lua": "mine",
        place.neovim.parents[2] / "theirs/start/afterword/plugin/afterword.lua": "theirs",
    }
    for path, text in mine.items():
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    others = place.files()
    monkeypatch.setattr(durable, "disk", QuickDisk())
    nth, old = 0, b"old"
    while True:
        nth += 1
        place.run("uninstall", "neovim")
        assert place.files() == others
        if verb != "install":
            place.run("install", "neovim")
        if verb == "update":
            (place.neovim / "plugin/afterword.lua").write_bytes(old)
        disk = FailingDisk(nth, errno.ENOSPC, for_ever=for_ever)
        with monkeypatch.context() as failing:
            failing.setattr(durable, "disk", disk)
            result = place.run("uninstall" if verb == "uninstall" else "install", "neovim")
        started = [path for path in place.neovim.parent.glob("afterword*/plugin/*.lua")]
        for path in started:
            found = {name: (path.parents[1] / name).read_bytes() for name in small}
            assert found in (small, small | {"plugin/afterword.lua": old})
        if not disk.has_failed:
            break
        if result.code == 1:
            assert result.err.count("error: ") == 1
            assert "hint: free some space and try again" in result.err
            if verb == "update" and not for_ever:
                assert [path.read_bytes() for path in started] == [old]
        assert place.run("install", "neovim").code == 0
        assert {name: (place.neovim / name).read_bytes() for name in small} == small
        assert len(place.files() - others) == len(small) + 1  # where the server is
    assert nth > 3
    assert [path.read_text(encoding="utf-8") for path in mine] == [*mine.values()]


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["install", "uninstall"])
@pytest.mark.parametrize("point", ["retire.after_rename", "file.written", "replace.done"])
def test_killed_at_any_moment_the_next_one_finishes(
    make_home: Callable[[Which], Home], point: str, verb: str
) -> None:
    """SIGKILL, in a process of its own."""
    home = make_home("none")
    run = [sys.executable, "-m", "afterword_daemon.cli"]
    folder = home.user / ".local/share/nvim/site/pack/afterword/start/afterword"
    home.run(*run, "install", "neovim")
    (folder / "lua/afterword/old.lua").touch()
    (folder / "plugin/afterword.lua").write_text("old", encoding="utf-8")
    killed = home.run(*run, verb, "neovim", variables={"AFTERWORD_FAILPOINT": f"{point}:kill"})
    assert killed.returncode < 0 or verb == "uninstall"
    assert home.run(*run, verb, "neovim").returncode == 0
    assert folder.exists() == (verb == "install")
    left = {path.name for path in folder.parents[1].rglob("*")}
    assert not any(name.endswith((durable.TOMB, durable.TEMPORARY)) for name in left)
    assert "old.lua" not in left


@pytest.mark.slow
def test_of_several_at_once_each_waits_for_the_others(
    make_home: Callable[[Which], Home],
) -> None:
    """None complains; what is there in the end is whole, or gone."""
    home = make_home("none")
    programs = []
    for verb in ["install", "uninstall"] * 5:
        command = (sys.executable, "-m", "afterword_daemon.cli", verb, "neovim")
        programs.append(home.start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    for program in programs:
        _, err = program.communicate(timeout=2 * PATIENCE_S)
        assert (program.returncode, err) == (0, b"")
    told = home.run(sys.executable, "-m", "afterword_daemon.cli", "install").stdout
    assert "by another version" not in told
    left = {path.name for path in home.user.rglob("*")}
    assert not any(name.endswith((durable.TOMB, durable.TEMPORARY)) for name in left)


def test_one_who_takes_too_long_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for it says for whom, and what to do."""
    monkeypatch.setattr(installing, "WAIT_S", 0.0)
    lock = place.user / "afterword/data" / installing.LOCK
    with durable.locked(lock):
        result = place.run("install", "neovim")
    assert result.code == 1
    assert f"error: {lock}: process {os.getpid()} is at work here\n\nhint: wait" in result.err


@pytest.mark.parametrize("which", ["share", "nvim", "pack", "afterword", "start"])
def test_links_on_the_way_are_followed_and_kept(place: Place, small: object, which: str) -> None:
    """As those have them who keep their settings in a repository."""
    link = next(path for path in place.neovim.parents if path.name == which)
    elsewhere = place.user / "dotfiles"
    elsewhere.mkdir()
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    assert place.run("install", "neovim").code == 0
    assert (place.neovim / "plugin/afterword.lua").is_file()
    assert elsewhere.resolve() in (place.neovim / "plugin").resolve().parents
    assert place.run("uninstall", "neovim").code == 0
    assert link.is_symlink()
    assert [*elsewhere.rglob("*.lua")] == []

    elsewhere.rename(place.user / "moved")
    result = place.run("install", "neovim")
    assert result.code == 1
    assert f"error: {link}: a file is in the way\n\nhint: move it" in result.err


def test_without_a_home_it_is_asked_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container, for a user whom the system does not know."""

    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for what in ("neovim", "login"):
        for verb in ("install", "uninstall"):
            result = place.run(verb, what)
            assert result.code == 1
            assert result.err.startswith("error: HOME: it is not set")
    assert place.run("install").code == 0


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("emacs", 'editors/README.md, at "Emacs, with eglot" and "Emacs, with lsp-mode"'),
        ("hx", 'editors/README.md, at "Helix"'),
        ("Sublime", 'editors/README.md, at "Sublime Text"'),
        ("coc", 'editors/README.md, at "Vim, with coc.nvim"'),
        ("nvim", "afterword install neovim    (did you mean that?)"),
        ("codium", "afterword install vscode    (did you mean that?)"),
        ("nano", "afterword install    (what there is)"),
        ("", "afterword install    (what there is)"),
    ],
)
def test_for_other_editors_it_says_where_to_read(place: Place, typed: str, hint: str) -> None:
    """Rather than which words it would have liked."""
    result = place.run("install", typed)
    assert (result.code, place.files()) == (2, set())
    assert hint in result.err.partition("\n\nhint: ")[2]
    assert result.err.count("\n") == 3


# -- at login ----------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_the_login_tells_what_it_did(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written, there already, removed; and where it is refused, a remedy of that place."""
    place.program("systemctl", "")
    unit = place.user / ".config/systemd/user/afterword.service"
    assert f"written: {unit}\n" in place.run("install", "login").out
    assert f"there already: {unit}\n" in place.run("install", "login").out
    assert place.run("uninstall", "login").out == f"removed: {unit}\n"
    assert place.run("uninstall", "login").out == f"there is nothing to remove: {unit}\n"

    monkeypatch.setattr(durable, "disk", FailingDisk(1, errno.EACCES, for_ever=True))
    err = place.run("install", "login").err
    assert err == f"error: {unit.parent}: permission denied\n\nhint: change its owner or mode\n"


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
