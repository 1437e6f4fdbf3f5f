"""A process that gives way: what it does to itself, and when it ends."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from afterword_trainer import background

STEP_BACK = "import time\nfrom afterword_trainer import background\nbackground.step_back({})\n"


def run(code: str, *, leads_session: bool = False) -> subprocess.CompletedProcess[str]:
    """In a process of its own, since nobody gets priority back."""
    return subprocess.run(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        start_new_session=leads_session,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
def test_every_thread_steps_back_before_and_after() -> None:
    """Numpy's may run already; TensorFlow's come later."""
    thread = "held = threading.Event()\nthreading.Thread(target=held.wait, daemon=True).start()\n"
    code = (
        "import os, threading\n"
        + thread
        + STEP_BACK.format("")
        + thread
        + "for task in os.listdir('/proc/self/task'):\n"
        "    print(os.sched_getscheduler(int(task)), os.getpriority(0, int(task)))\n"
        "print(open('/proc/self/oom_score_adj').read().strip())\n"
    )
    done = run(code)
    *threads, score = done.stdout.split("\n")[:-1]
    assert done.stderr == ""
    assert len(threads) >= 4
    assert set(threads) == {f"{os.SCHED_IDLE} 19"}
    assert score == str(background.OOM_SCORE)


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="no groups by session")
@pytest.mark.parametrize("leads", [False, True])
def test_the_session_steps_back_only_with_who_leads_it(leads: bool) -> None:
    """Else a daemon that had once trained would answer slowly beside a compiler, for good."""
    told = "print(open('/proc/self/autogroup').read())\n"
    code = STEP_BACK.format("") + told
    if not leads:
        code = (
            "import subprocess, sys\n"
            + f"subprocess.run([sys.executable, '-c', {code!r}], stdout=subprocess.DEVNULL)\n"
            + told
        )
    done = run(code, leads_session=True)
    assert done.returncode == 0
    # A session that began while grouping was off has none: the file is there, and empty.
    if done.stdout.strip():
        assert ("nice 19" in done.stdout) is leads


def test_too_much_memory_ends_it() -> None:
    """At once, with a code that says: later."""
    done = run(STEP_BACK.format("most_bytes=1") + "time.sleep(30)\n")
    assert done.returncode == background.LEFT


def test_it_ends_with_its_input() -> None:
    """Not before: a pipe that stays open is one whose other end lives."""
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            STEP_BACK.format("") + "print('ready', flush=True)\ntime.sleep(60)\n",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert child.stdin
    assert child.stdout
    with child:
        assert child.stdout.readline() == b"ready\n"
        assert child.poll() is None
        child.stdin.close()
        assert child.wait(timeout=10) == background.LEFT


def test_who_is_left_alone_ends() -> None:
    """The one who started it dies without a word, and it does not outlive that by long."""
    child = STEP_BACK.format("") + "print('ready', flush=True)\ntime.sleep(60)\n"
    starter = (
        "import os, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "os._exit(1)\n"
    )
    pid = int(run(starter).stdout)
    with suppress(psutil.NoSuchProcess):  # it may be gone before it can be waited for
        psutil.Process(pid).wait(timeout=10)


def test_another_parent_is_seen_where_the_kernel_says_nothing() -> None:
    """As on macOS: the one who started it is not there any more."""
    told: list[str] = []
    background._watch(-1, background.MOST_BYTES, told.append)
    assert told == ["whoever started this is gone"]


def test_what_the_system_refuses_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container one may lower nothing; training goes on, only less quietly."""
    asked = []

    def refuse(*arguments: object) -> None:
        asked.append(arguments)
        raise PermissionError(1, "not allowed")

    for name in ("setpriority", "sched_setscheduler"):
        monkeypatch.setattr(os, name, refuse, raising=False)
    monkeypatch.setattr(background.durable, "tell_kernel", lambda *_: None)
    monkeypatch.setattr(background.psutil.Process, "ionice", lambda *_: None, raising=False)
    background._lower()
    assert asked


def test_libraries_are_told_how_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before they are imported."""
    libraries = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    for name in (*libraries, "TF_NUM_INTEROP_THREADS", "TF_NUM_INTRAOP_THREADS"):
        monkeypatch.setenv(name, "")  # and back to what it was afterwards
    background.limit_threads(2)
    assert (os.environ["OMP_NUM_THREADS"], os.environ["TF_NUM_INTEROP_THREADS"]) == ("2", "2")
