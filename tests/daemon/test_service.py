"""Starting at login: what is written, and that it is undone."""

import configparser
import os
import plistlib
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from afterword_daemon import process, service
from afterword_daemon.service import Service, ServiceError
from hypothesis import given
from hypothesis import strategies as st


def made(
    home: Path, platform: str, environ: Mapping[str, str] | None = None, *command: str
) -> Service:
    return service.of_this_system(
        {"HOME": str(home), **(environ or {})},
        platform=platform,
        command=command or service.COMMAND,
    )


def test_a_unit_confines_what_it_starts(tmp_path: Path) -> None:
    """Every directive that holds without privileges, and none that would do nothing."""
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign] # systemd tells case apart
    unit.read_string(made(tmp_path, "linux").text)
    section = unit["Service"]

    assert section["ExecStart"].endswith(" -m afterword_daemon.cli run --stay")
    assert section["RestrictAddressFamilies"] == "AF_UNIX"
    assert (section["UMask"], section["NoNewPrivileges"]) == ("0077", "yes")
    assert (section["Restart"], unit["Unit"]["StartLimitBurst"]) == ("on-failure", "3")
    assert unit["Install"]["WantedBy"] == "default.target"
    inert = {"IPAddressDeny", "ProtectHome", "ProtectSystem", "MemoryDenyWriteExecute"}
    assert not inert & {*section}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    """Its own checker has no complaint, odd folders included."""
    odd = {"AFTERWORD_HOME": str(tmp_path / 'a "b" 100% $HOME')}
    path = tmp_path / service.UNIT
    path.write_text(made(tmp_path, "linux", odd).text, encoding="utf-8")

    result = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(path)],
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (result.returncode, result.stderr) == (0, "")


@given(words=st.lists(st.text(alphabet="ab /%$\"\\\t'é", min_size=1), min_size=1, max_size=4))
def test_words_reach_systemd_as_they_are(words: list[str]) -> None:
    """Quoting, read back by the rules of systemd.syntax(7)."""
    line = made(Path("/h"), "linux", None, *words).text.split("ExecStart=")[1].split("\n")[0]
    assert unquoted(line) == words


def unquoted(line: str) -> list[str]:
    """What systemd makes of a command line: an oracle of a few of its rules."""
    words, word, quoted, inside = [], "", False, False
    characters = iter(line)
    for c in characters:
        if c == "\\":
            word += {"n": "\n", "t": "\t"}.get(c := next(characters), c)
        elif c in "%$":
            assert next(characters) == c
            word += c
        elif c == '"':
            quoted, inside = not quoted, True
        elif c == " " and not quoted:
            words.append(word)
            word, inside = "", False
        else:
            assert c != "'" or quoted
            word += c
    return [*words, word] if word or inside else words


def test_an_agent_of_launchd_is_not_throttled(tmp_path: Path) -> None:
    """A list of properties that it can read; answers are wanted at once."""
    home = {"AFTERWORD_HOME": "/Users/me/my <words>"}
    agent = made(tmp_path, "darwin", home)
    found = plistlib.loads(agent.text.encode())

    assert agent.path == tmp_path / "Library/LaunchAgents/afterword.daemon.plist"
    assert found["ProcessType"] == "Interactive"
    assert found["EnvironmentVariables"] == home
    assert found["Umask"] == 0o077
    assert found["ProgramArguments"][-2:] == ["run", "--stay"]


def test_it_looks_for_its_folders_where_the_installer_did(tmp_path: Path) -> None:
    """What the shell has set, a login does not know."""
    text = made(tmp_path, "linux", {"AFTERWORD_HOME": "/x", "EDITOR": "vi"}).text
    assert "Environment=AFTERWORD_HOME=/x\n" in text
    assert "EDITOR" not in text


def test_elsewhere_there_is_a_sentence(tmp_path: Path) -> None:
    """No guessing on a system that nobody tried."""
    with pytest.raises(ServiceError, match="afterword start"):
        made(tmp_path, "plan9")


def test_what_is_installed_can_be_taken_back(tmp_path: Path) -> None:
    """Private, in its place, switched on; then gone, and nothing else with it."""
    trace = tmp_path / "trace"
    note = ("sh", "-c", f'echo "$0" >> {trace}')
    login = replace(
        made(tmp_path, "linux", {"XDG_CONFIG_HOME": str(tmp_path / "config")}),
        after_writing=[(*note, "on")],
        before_removing=[(*note, "off"), ("no-such-program",)],
        after_removing=[(*note, "gone")],
    )
    assert not service.remove(login)
    assert not trace.exists()

    service.install(login)

    assert login.path == tmp_path / "config/systemd/user/afterword.service"
    assert login.is_ours
    assert login.path.stat().st_mode & 0o777 == 0o600
    assert service.remove(login)
    assert not login.is_installed
    assert list(login.path.parent.iterdir()) == []
    assert trace.read_text(encoding="utf-8").split() == ["on", "off", "gone"]


@pytest.mark.parametrize("platform", ["linux", "darwin"])
@pytest.mark.parametrize("what", ["a unit of the user's", "a link", "a link to nothing", "bytes"])
def test_what_somebody_else_wrote_is_left_alone(tmp_path: Path, platform: str, what: str) -> None:
    """Neither replaced nor deleted nor switched off; ours may be of any version."""
    trace = tmp_path / "trace"
    touch = [("touch", str(trace))]
    login = replace(
        made(tmp_path, platform, {"XDG_CONFIG_HOME": str(tmp_path)}),
        after_writing=touch,
        before_removing=touch,
    )
    login.path.parent.mkdir(parents=True)
    mine = tmp_path / "mine"
    match what:
        case "a unit of the user's":
            login.path.write_text("# my own unit\n", encoding="utf-8")
        case "bytes":
            login.path.write_bytes(b"\xff\xfe")
        case "a link":
            mine.write_text(login.text, encoding="utf-8")
            login.path.symlink_to(mine)
        case "a link to nothing":
            login.path.symlink_to(mine)
    before = login.path.lstat()

    for act in (
        lambda: service.install(login),
        lambda: service.remove(login),
        lambda: [*service.plan(login, installing=True)],
        lambda: [*service.plan(login, installing=False)],
    ):
        with pytest.raises(ServiceError, match="did not write this; move it away first"):
            act()
    assert login.path.lstat() == before
    assert not trace.exists()

    login.path.unlink()
    service.install(replace(login, text=login.text + "older", after_writing=()))
    service.install(login)
    assert login.is_ours


def test_what_would_be_done_is_what_is_done(tmp_path: Path) -> None:
    """Every command that is shown runs, and none is shown where there is nothing to remove."""
    trace = tmp_path / "trace"
    login = replace(
        made(tmp_path, "linux"),
        after_writing=[("sh", "-c", f"echo on >> {trace}")],
        before_removing=[("sh", "-c", f"echo off >> {trace}")],
        after_removing=[("sh", "-c", f"echo gone >> {trace}")],
    )
    assert list(service.plan(login, installing=False)) == ["nothing to delete"]
    service.remove(login)
    assert not trace.exists()

    assert [line.split(">>")[0] for line in service.plan(login, installing=True)][1:] == [
        "would run: sh -c echo on "
    ]
    service.install(login)
    would = list(service.plan(login, installing=False))
    assert would[1] == f"would delete {login.path}"
    assert ("echo off" in would[0], "echo gone" in would[2]) == (True, True)


def test_a_daemon_that_finds_another_one_has_not_failed() -> None:
    """What the unit counts as a success is how `afterword run` ends then."""
    assert process.EXIT_OTHER == service.BUSY


def test_a_system_that_refuses_is_quoted(tmp_path: Path) -> None:
    """And nothing stays written: what was there before is there again."""
    login = replace(
        made(tmp_path, "linux"), after_writing=[("sh", "-c", "echo no bus >&2; exit 1")]
    )
    with pytest.raises(ServiceError, match=r"nothing was written \(no bus\)"):
        service.install(login)
    assert not login.is_installed

    service.install(replace(login, text=login.text + "older", after_writing=()))
    with pytest.raises(ServiceError, match="no bus"):
        service.install(login)
    assert login.path.read_text(encoding="utf-8") == login.text + "older"
