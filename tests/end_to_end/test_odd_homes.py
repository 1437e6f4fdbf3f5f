"""Homes and sessions that are not as usual: one daemon all the same, or a sentence why not."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from afterword_trainer.paths import Paths
from daemons import clear_up, connect, paths_in
from desk import environment

AFTERWORD = (sys.executable, "-m", "afterword_daemon.cli")

pytestmark = pytest.mark.slow


def run(variables: dict[str, str], *command: str) -> "subprocess.CompletedProcess[str]":
    """A command, to its end."""
    return subprocess.run(
        command, env=variables, capture_output=True, text=True, check=False, timeout=30
    )


def test_start_envs(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a runtime folder, without, with one that is gone; three for temporary files: one daemon.

    As from a desktop, from cron, and after the last logout.
    """
    home = paths.data.parent
    for name in ("AFTERWORD_HOME", *(name for name in os.environ if name.startswith("XDG_"))):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AFTERWORD_BASE", str(paths.base))
    (home / "runtime").mkdir(mode=0o700)
    found = []
    try:
        for runtime in (str(home / "runtime"), "", "/gone"):
            for temporary in (str(home), "", "/gone"):
                variables = {**os.environ, "XDG_RUNTIME_DIR": runtime, "TMPDIR": temporary}
                if not found:
                    assert run(variables, *AFTERWORD, "start").returncode == 0
                status = run(variables, *AFTERWORD, "status", "--json")
                found.append(json.loads(status.stdout).get("pid"))
    finally:
        clear_up(Paths.from_environment())
    assert found[0]
    assert found == found[:1] * 9


@pytest.mark.parametrize("n_bytes", [90, 200, 900])
def test_a_home_with_a_long_name(paths: Paths, n_bytes: int) -> None:
    """Longer than the address of any socket."""
    home = paths.data.parent
    while (missing := n_bytes - len(str(home))) > 1:
        home = home / ("x" * min(missing - 1, 200))
    variables = {**environment(paths), "AFTERWORD_HOME": str(home)}
    try:
        assert run(variables, *AFTERWORD, "start").returncode == 0
        with connect(paths_in(home)) as connection:
            assert str(home) in connection.status().files["lock"]
    finally:
        clear_up(paths_in(home))


def test_a_home_that_can_only_be_read(paths: Paths) -> None:
    """An error and a hint that name the place and what to do, at once."""
    home = str(paths.data.parent)
    read_only = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    before = (shutil.which("unshare") or "false", "-rm", "sh", "-c", read_only, home)
    variables = environment(paths)
    if run(variables, *before, "true").returncode:
        pytest.skip("this system lets nobody have mounts of their own")

    for command in (["start"], ["complete", "--prompt", "x"]):
        result = run(variables, *before, *AFTERWORD, *command)
        lines = result.stderr.splitlines()

        assert result.returncode == 1
        [error] = [line for line in lines if line.startswith("error: ")]
        assert home in error
        assert "read-only" in error
        assert any("AFTERWORD_HOME" in line for line in lines if line.startswith("hint: "))
        assert "Traceback" not in result.stderr
    for command in (["status"], [], ["doctor", "daemon"]):
        told = run(variables, *before, *AFTERWORD, *command).stdout

        assert f"{home}: the daemon cannot start" in told
        assert "(the disk is read-only)" in told
        assert "mount it for writing, or set AFTERWORD_HOME" in told


def test_a_data_folder_of_somebody_else(paths: Paths) -> None:
    """As after a look at it as root; the log tells too, for who starts it sees only an editor."""
    variables = environment(paths)
    paths.data.mkdir()
    paths.logs.mkdir()
    paths.data.chmod(0o500)
    powerless = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--")
    before = powerless if os.geteuid() == 0 else ()
    try:
        for _ in range(2):
            result = run(variables, *before, *AFTERWORD, "start")
            assert f"{paths.data}: the daemon cannot start" in result.stderr
            assert "hint: change its owner or mode" in result.stderr
        status = run(variables, *before, *AFTERWORD, "status", "--json")
        told = json.loads(status.stdout)
        assert told["running"] is False
        assert "(permission denied)" in told["detail"]
    finally:
        paths.data.chmod(0o700)
    [line] = (paths.logs / "daemon.log").read_text().splitlines()
    assert "CRITICAL the daemon cannot start: permission denied; change its owner" in line
