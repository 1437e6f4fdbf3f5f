"""A disk without room: suggestions go on, nothing is lost, it is said, and ends by itself."""

import errno
import io
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import full_disk
import pytest
from afterword_daemon import process
from afterword_trainer import durable
from afterword_trainer.paths import Paths


@pytest.mark.slow
def test_a_full_disk_is_told_and_survived(base: Path, paths: Paths) -> None:
    """A real one; what was saved meanwhile is learned when there is room again."""
    in_mounts = (shutil.which("unshare") or "false", "-rm")
    probe = "mount -t tmpfs -o size=1m tmpfs /mnt"
    if subprocess.run([*in_mounts, "sh", "-c", probe], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody have mounts of their own")
    home = paths.data.parent / "home"
    home.mkdir()
    told = subprocess.run(
        [*in_mounts, sys.executable, full_disk.__file__, str(home), str(base)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert told.returncode == 0, told.stderr
    seen = json.loads(told.stdout)

    assert (seen["state"], seen["state after"]) == ("degraded", "ready")
    assert seen["pause"] == [0, True, 0]
    for where in ("detail", "status", "doctor"):
        assert "the disk is full" in seen[where] or "free some space" in seen[where]
    assert ".tmp" not in seen["detail"]
    failures = [line for line in seen["log"].splitlines() if "ERROR" in line]
    assert failures
    assert all("the disk is full; free some space" in line for line in failures)
    assert seen["log"].count("the memory cannot be stored: ") <= 1


def test_lines_that_found_no_room_come_when_there_is_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why it was full above all; in their order, each once."""
    full = os.open("/dev/full", os.O_WRONLY)
    is_full, opened = True, durable.continue_log

    def open_or_not(path: Path, *, at_most: int) -> int:
        if is_full:
            with durable.explained(path):
                raise OSError(errno.ENOSPC, "full")
        return opened(path, at_most=at_most)

    monkeypatch.setattr(durable, "continue_log", open_or_not)
    log = process.LogFile(tmp_path / "daemon.log", at_most=1000)
    log.emit(_record("one"))
    is_full = False
    log.emit(_record("two"))
    assert isinstance(log._file, io.FileIO)
    kept = os.dup(log._file.fileno())
    os.dup2(full, log._file.fileno())
    log.emit(_record("three"))
    os.dup2(kept, log._file.fileno())
    log.emit(_record("four"))
    log.close()
    for descriptor in (full, kept):
        os.close(descriptor)

    lines = (tmp_path / "daemon.log").read_text().splitlines()
    assert [line.rsplit(maxsplit=1)[-1] for line in lines] == ["one", "two", "three", "four"]


def _record(message: str) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": message, "levelname": "ERROR"})
