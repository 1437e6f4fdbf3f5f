"""`afterword`, as people and programs call it, with real daemons behind it."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pytest
from afterword_daemon import cli, client, config, doctor, endpoint, view
from afterword_daemon.protocol import (
    PROTOCOL_VERSION,
    Forgot,
    Learning,
    Model,
    Status,
    Training,
    Welcome,
    frame,
)
from afterword_trainer.paths import Paths
from daemons import TIMEOUT_S, eventually, lives, pid_of


class Result(NamedTuple):
    code: int
    out: str
    err: str


Afterword = Callable[..., Result]


@pytest.fixture
def afterword(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Afterword]:
    """The command line in this process, which is quicker; in the home of the test."""
    uses_served = "served" in request.fixturenames
    paths: Paths = request.getfixturevalue("served" if uses_served else "paths")
    for name, value in environment(paths).items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, stdin: str = "") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        try:
            code = cli.main(arguments)
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 1
        return Result(code, *capsys.readouterr())

    before = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, before)


def environment(paths: Paths) -> dict[str, str]:
    """What leads a command to a test's home."""
    home = str(paths.config.parent)
    return {"AFTERWORD_HOME": home, "AFTERWORD_BASE": str(paths.base), "HOME": home}


def process(paths: Paths, *arguments: str) -> "subprocess.Popen[str]":
    """The command line as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "afterword_daemon.cli", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment(paths),
    )


def said(result: Result) -> str:
    """Standard output of what went well and had nothing to add."""
    assert (result.code, result.err) == (0, "")
    return result.out


# -- without a daemon --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "error", "hint"),
    [
        (["statsu"], 2, "there is no 'statsu'", "afterword stats"),
        (["complete"], 2, "no text to go on from", "afterword complete --prompt"),
        (["complete", "--prompt", "x", "--temperature", "3"], 2, "within 0 and 2", "--help"),
        (["complete", "--prompt", "x", "--count", "0"], 2, "within 1", "--help"),
        (["complete", "--prompt", "x", "--count", "11"], 2, "within 1 and 10", "--help"),
        (["install", "everything"], 2, "no 'everything'", "afterword install"),
        (["stats", "maybe"], 2, "maybe", "afterword stats --help"),
        (["demo"], 2, "needs a terminal", "afterword complete"),
        (["doctor", "nurse"], 2, "no check 'nurse'", "afterword doctor --list"),
        (["logs"], 1, "no log yet", "afterword start"),
    ],
)
def test_errors_are_a_sentence_and_a_remedy(
    paths: Paths,
    afterword: Afterword,
    arguments: list[str],
    code: int,
    error: str,
    hint: str,
) -> None:
    """2 for wrong usage, 3 without a daemon, 1 otherwise; never a traceback, nothing written."""
    result = afterword(*arguments)
    assert (result.code, result.out) == (code, "")
    what, remedy = result.err.rstrip().split("\n\nhint: ")
    assert what.startswith("error: ")
    assert error in what
    assert hint in remedy
    assert [path.name for path in paths.config.parent.iterdir()] == ["base"]


def test_help_lists_every_verb(paths: Paths, afterword: Afterword) -> None:
    """On standard output, in groups; and each verb has its own."""
    told = said(afterword("--help"))
    for verbs in cli.VERBS.values():
        for verb, what in verbs.items():
            assert f"  {verb:<12}{what}\n" in told
            if verb != "learn":  # which is another program
                assert f"usage: afterword {verb}" in said(afterword(verb, "--help"))


def test_alone_it_says_where_one_stands_and_what_comes_next(
    paths: Paths, afterword: Afterword
) -> None:
    """The first thing that people type."""
    told = said(afterword())
    assert "not running; the first editor starts it" in told
    assert "nothing of yours was learned yet" in told
    steps = "afterword demo", "trainer learn ~/notes", "afterword watch add ~/notes"
    for command in (*steps, "afterword doctor"):
        assert f"  {command} " in told


SETTINGS = {
    "": "",
    "[enable]\n'*' = false\n": 'suggestions are off: enable."*" is false',
    "learning.enable = false\n": "learning is off: learning.enable is false",
    "learning.enable = flase\n": "config.toml: line 1: not TOML",
    "sede = 1\n": "line 1: sede is no setting: did you mean seed?",
}


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("runs", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_alone_it_says_what_is_off(
    paths: Paths, afterword: Afterword, settings: str, runs: bool
) -> None:
    """Or degraded, or cannot be read, in one line; nobody is told that all is well."""
    paths.config.mkdir()
    (paths.config / "config.toml").write_text(settings or "seed = 1\n", encoding="utf-8")
    if runs:
        said(afterword("start"))
    told = [line for line in said(afterword()).splitlines() if line.startswith("# ")]
    assert [SETTINGS[settings] in line for line in told] == [True] * bool(settings)
    if not runs:
        said(afterword("pause"))
        paused = "learning is paused; to go on: afterword resume"
        assert paused in said(afterword())


def test_counts_are_shown_and_cleared_without_a_daemon(paths: Paths, afterword: Afterword) -> None:
    """None is started to show three zeros."""
    assert json.loads(said(afterword("stats", "--json")))["total"]["shown"] == 0
    assert said(afterword("stats", "clear")) == "what was counted is forgotten\n"
    assert afterword("status").code == 3


def test_help_is_a_command_too(paths: Paths, afterword: Afterword) -> None:
    """As in other programs, alone and for a verb."""
    assert said(afterword("help")) == said(afterword("--help"))
    assert said(afterword("help", "watch")) == said(afterword("watch", "--help"))


def test_a_folder_is_watched_by_one_name(
    paths: Paths, afterword: Afterword, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it is typed; by that or by another it is removed."""
    (tmp_path / "notes/inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "notes")
    monkeypatch.chdir(tmp_path / "notes/inner")

    def watched(*arguments: str) -> list[str]:
        told = json.loads(said(afterword("watch", *arguments, "--json")))
        return [Path(one["path"]).name for one in told]

    assert watched("add", "..") == ["notes"]
    assert watched("add", str(tmp_path / "notes"), "../../notes/", str(tmp_path / "link")) == [
        "notes"
    ]
    told = said(afterword("watch", "add", str(tmp_path / "link")))
    assert f"{tmp_path}/link is watched already, as {tmp_path}/notes" in told
    assert "watch remove" not in told
    assert watched("add", ".") == ["notes", "inner"]
    assert watched("remove", "../inner/..") == ["inner"]
    assert watched("add", "../../link") == ["inner", "link"]
    path = paths.config / "config.toml"
    path.write_text(f'watch = ["{tmp_path}/notes", "{tmp_path}/link/../notes"]\n', "utf-8")
    assert watched() == ["notes"]


def test_status_without_a_daemon(paths: Paths, afterword: Afterword) -> None:
    """Exit code 3, as service managers have it; both forms say so."""
    result = afterword("status")
    assert (result.code, result.err) == (3, "")
    assert result.out == "○ not running; the first editor starts it\n\nhint: afterword start\n"
    assert json.loads(afterword("status", "--json").out) == {"running": False}
    assert said(afterword("stop")) == "not running\n"


def test_asking_how_it_is_loads_nothing_heavy(paths: Paths, afterword: Afterword) -> None:
    """Help and status answer at once: no numpy, nothing that draws, no framework."""
    blocked = "numpy rich jinja2 pathspec psutil tensorflow keras ai_edge_litert pygls lsprotocol"
    code = (
        "import sys\n"
        f"blocked = set({blocked!r}.split())\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in blocked:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from afterword_daemon import cli\n"
        "assert cli.main([]) == 0\n"
        "assert cli.main(['status']) == 3\n"
        "assert cli.main(['stop']) == 0\n"
        "cli.main(['--help'])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment(paths),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_a_reader_that_has_seen_enough_ends_it_quietly(paths: Paths) -> None:
    """As in `afterword config | head -1`."""
    one = process(paths, "config")
    assert one.stdout
    assert one.stderr
    one.stdout.close()
    assert (one.stderr.read(), one.wait(TIMEOUT_S)) == ("", 128 + signal.SIGPIPE)
    one.stderr.close()


def test_a_reader_that_reads_nothing_ends_the_version_quietly(paths: Paths) -> None:
    """It is printed while the arguments are still being read."""
    one = process(paths, "--version")
    assert one.stdout
    assert one.stderr
    one.stdout.close()
    assert (one.stderr.read(), one.wait(TIMEOUT_S)) == ("", 128 + signal.SIGPIPE)
    one.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("command", ["status", "config", "--version"])
def test_output_that_cannot_be_written_is_a_sentence(
    paths: Paths, command: str, buffered: bool
) -> None:
    """As into a file on a full disk; and not a success."""
    environ = os.environ | environment(paths) | {"PYTHONUNBUFFERED": "" if buffered else "1"}
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "afterword_daemon.cli", command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr.startswith("error: standard output: no space left on device\n\nhint: ")


LOGS: dict[str, Callable[[Path], object]] = {
    "a folder": Path.mkdir,
    "a link to itself": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("what", LOGS)
def test_a_log_that_cannot_be_read_is_a_sentence(
    paths: Paths, afterword: Afterword, what: str
) -> None:
    """With a remedy that is one."""
    paths.logs.mkdir()
    LOGS[what](paths.logs / "daemon.log")
    result = afterword("logs")
    assert (result.code, result.out) == (1, "")
    assert "move it away, then: afterword restart" in result.err


def test_what_is_longer_than_a_path_may_be_is_a_sentence(
    paths: Paths, afterword: Afterword, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever asks the system about it."""
    monkeypatch.setenv("AFTERWORD_HOME", "/" + "/".join(["x" * 200] * 25))
    for verb in ("config", "pause", "logs"):
        result = afterword(verb)
        assert (result.code, "file name too long" in result.err) == (1, True)


def test_learn_is_the_trainers(paths: Paths) -> None:
    """One word less to know."""
    out, _ = process(paths, "learn", "--help").communicate(timeout=TIMEOUT_S)
    assert "usage: trainer learn" in out


def test_the_settings_can_be_written_and_checked(paths: Paths, afterword: Afterword) -> None:
    """A file on request only, never over another; each mistake on its line."""
    path = paths.config / "config.toml"
    assert "there is none: all defaults" in said(afterword("config"))
    assert not path.exists()

    written = json.loads(said(afterword("config", "write", "--json")))
    assert written == {"path": str(path), "written": True}
    path.unlink()
    assert said(afterword("config", "write")) == f"{path}\n"
    assert said(afterword("config", "check")) == f"{path}: all is well\n"
    assert "there is one already" in afterword("config", "write").err

    path.write_text("seed = -1\nsede = 3\n", encoding="utf-8")
    result = afterword("config", "check")
    assert result.code == 1
    assert "\n  line 1: seed is a whole number" in result.err
    assert "\n  line 2: sede is no setting: did you mean seed?" in result.err
    found = json.loads(afterword("config", "--json").out)
    assert len(found["mistakes"]) == 2
    assert found["settings"]["max_characters"] == 80
    assert config.REST_HOLDS in result.err

    path.write_text("stats = false\n[enable]\n'*' = false\nx = \n", encoding="utf-8")
    assert config.NOTHING_HOLDS in afterword("config", "check").err
    found = json.loads(afterword("config", "--json").out)
    assert found["settings"]["enable"] == {"*": False}

    path.write_text('"\\u001b[31m" = 1\nignore = ["\\u202e"]\n[enable]\n"\\r" = true\n', "utf-8")
    shown = afterword("config", "check").err
    path.write_text('ignore = ["\\u202e"]\n[enable]\n"\\r" = true\n', "utf-8")
    shown += said(afterword("config"))
    assert all(c.isprintable() or c == "\n" for c in shown)


def test_checks_can_be_run_alone_and_by_programs(paths: Paths, afterword: Afterword) -> None:
    """One JSON object for each, in the order of the list; exit code 1 when one failed."""
    lines = said(afterword("doctor", "disk", "config", "--json")).splitlines()
    found = [json.loads(line) for line in lines]
    assert [finding["check"] for finding in found] == ["config", "disk"]
    assert {*found[0]} == {"check", "state", "found", "remedy"}
    listed = said(afterword("doctor", "--list")).splitlines()
    assert [line.split()[0] for line in listed] == [*doctor.CHECKS]

    paths.config.mkdir()
    (paths.config / "config.toml").write_text("seed = -1\n", encoding="utf-8")
    result = afterword("doctor", "config")
    assert (result.code, result.err) == (1, "")
    assert result.out.startswith("[✗] config ")
    assert "fix: correct " in result.out
    assert result.out.endswith("\n\n1 problem\n")


def test_what_an_installation_would_write_is_shown_first(
    paths: Paths, afterword: Afterword
) -> None:
    """And not written."""
    told = said(afterword("install", "login", "--dry-run"))
    assert "would write" in told
    assert "run" in told
    assert f"AFTERWORD_HOME={paths.config.parent}" in told or "<key>AFTERWORD_HOME" in told
    assert "nothing to delete" in said(afterword("uninstall", "login", "--dry-run"))
    assert [path.name for path in paths.config.parent.iterdir()] == ["base"]


# -- with one ----------------------------------------------------------------------------------


def test_a_daemon_is_started_shown_replaced_and_stopped(paths: Paths, afterword: Afterword) -> None:
    """The life of one, from the terminal; each step can be repeated without harm."""
    told = said(afterword("start"))
    assert "● ready, " in told
    assert "hint: afterword stop" in told
    first = pid_of(paths)
    assert said(afterword("start")) == "already running\n"

    facts = json.loads(said(afterword("status", "--json")))
    assert (facts["running"], facts["pid"], facts["network"]) == (True, first, 0)
    told = said(afterword("status"))
    for fact in ("● ready", "model       base, made", "offline", str(paths.logs)):
        assert fact in told
    labels = [line[2:13].strip() for line in told.splitlines()[1:]]
    assert len({*labels} - {""}) == sum(map(bool, labels))  # no name stands for two things
    assert all(line[13] == " " != line[14] for line in told.splitlines()[1:])
    files = said(afterword("status", "--files"))
    assert [*facts["files"]] == [line[2:].split("  ")[0] for line in files.splitlines()]
    assert f"  {paths.logs / 'daemon.log'}\n" in files
    assert "● ready" in said(afterword())

    assert "● ready" in said(afterword("restart"))
    assert pid_of(paths) != first
    assert said(afterword("stop")) == "stopped\n"
    assert afterword("status").code == 3


def test_a_prompt_is_completed(paths: Paths, afterword: Afterword) -> None:
    """The suggestion alone on standard output; a daemon is started for it, and that is said."""
    result = afterword("complete", "--prompt", "The garden ", "--json")
    assert (result.code, result.err) == (0, "starting the daemon\n")
    found = json.loads(result.out)
    assert found["model"] == "base"
    assert bool(found["suggestions"]) != bool(found["reason"])

    for prompt in (["--prompt", "-"], []):
        piped = afterword("complete", *prompt, "--json", stdin="The garden ")
        assert (piped.code, piped.err) == (0, "")
        assert json.loads(piped.out) == found

    plain = afterword("complete", "--prompt", "The garden ", "--count", "3")
    assert plain.code == 0
    assert bool(plain.out) != plain.err.startswith("no suggestion: ")
    long = afterword("complete", "--prompt", "a word \ud800" * 1_500)
    assert long.code == 0


def test_with_settings_that_cannot_be_read_it_is_silent_and_says_why(
    paths: Paths, afterword: Afterword
) -> None:
    """Nobody knows what was switched off there; with settings that can be read, all goes on."""
    paths.config.mkdir()
    path = paths.config / "config.toml"
    path.write_text("[enable]\n'*' = fals\n", encoding="utf-8")
    result = afterword("complete", "--prompt", "The garden ")
    assert (result.code, result.out) == (0, "")
    assert "no suggestion: suggestions are switched off" in result.err
    assert f"{path}: line 2: not TOML" in result.err
    for verb in ("status", "doctor"):
        assert f"{path}: line 2: not TOML" in afterword(verb).out
    assert json.loads(afterword("status", "--json").out)["state"] == "degraded"

    path.write_text("seed = 1\n", encoding="utf-8")

    def reason() -> str:
        told = said(afterword("complete", "--prompt", "The garden ", "--json"))
        return str(json.loads(told)["reason"])

    assert eventually(lambda: reason() != "disabled")


def test_counting_is_the_users(served: Paths, afterword: Afterword) -> None:
    """On, off, forgotten; and the settings of the user stay as they are."""
    served.config.mkdir(exist_ok=True)
    path = served.config / "config.toml"
    path.write_text("# mine\nseed = 3\n", encoding="utf-8")
    assert "as numbers, on this machine" in said(afterword("stats"))
    assert said(afterword("stats", "off")) == "counting is off\n"
    assert "nothing is counted now" in said(afterword("stats"))
    assert said(afterword("stats", "on")) == "counting is on\n"
    assert said(afterword("stats", "clear")) == "what was counted is forgotten\n"
    assert json.loads(said(afterword("stats", "--json")))["total"]["shown"] == 0
    assert path.read_text(encoding="utf-8") == "stats = true\n# mine\nseed = 3\n"

    path.write_text("sede = 3\n", encoding="utf-8")
    assert "line 1: sede is no setting" in afterword("stats", "off").err
    assert path.read_text(encoding="utf-8") == "sede = 3\n"
    path.unlink()


def test_learning_pauses_and_goes_on(served: Paths, afterword: Afterword) -> None:
    """Each says its undo, and status says which it is."""
    assert "hint: afterword resume" in said(afterword("pause"))
    assert "● paused" in said(afterword("status"))
    assert said(afterword("resume")) == "learning goes on\n"
    assert "● ready" in said(afterword("status"))


def test_a_pause_that_meets_the_end_of_a_daemon_is_one(paths: Paths, afterword: Afterword) -> None:
    """It is written down, so nobody has to be told any more."""
    with endpoint.listen(paths).socket as listener:

        def hang_up() -> None:
            listener.settimeout(TIMEOUT_S)
            connected, _ = listener.accept()
            with connected:
                connected.recv(1 << 16)
                hello = Welcome(protocol=PROTOCOL_VERSION, build=endpoint.build(), pid=1)
                connected.sendall(frame(hello))
                connected.recv(1 << 16)
                listener.close()

        with ThreadPoolExecutor(1) as pool:
            ending = pool.submit(hang_up)
            assert "nothing more is learned" in said(afterword("pause"))
            ending.result()
    assert "● paused" in said(afterword("start"))


def test_a_pause_outlives_the_daemon(paths: Paths, afterword: Afterword) -> None:
    """Also one that was ordered while there was none; and `resume` is for good in the same way."""
    assert "hint: afterword resume" in said(afterword("pause"))
    said(afterword("start"))
    assert "● paused" in said(afterword("status"))
    assert "● paused" in said(afterword("restart"))
    said(afterword("stop"))
    assert said(afterword("resume")) == "learning goes on\n"
    assert said(afterword("resume")) == "learning goes on\n"
    assert "● ready" in said(afterword("restart"))


def test_the_log_is_followed(served: Paths, afterword: Afterword) -> None:
    """What is added appears by itself; Ctrl-C ends it without a word of Python."""
    assert len(said(afterword("logs", "--lines", "1")).splitlines()) == 1
    following = process(served, "logs", "--follow", "-n", "1")
    try:
        assert following.stdout
        following.stdout.readline()
        afterword("status")
        assert "client " in following.stdout.readline()
        log = served.logs / "daemon.log"
        log.rename(served.logs / "daemon.log.1")  # as the daemon does when it is long
        log.write_text("another file\n", encoding="utf-8")
        while "another file" not in following.stdout.readline():
            pass
        (served.logs / "daemon.log.1").rename(log)
        following.send_signal(signal.SIGINT)
        _, complaints = following.communicate(timeout=TIMEOUT_S)
        assert (following.returncode, complaints) == (130, "\ninterrupted\n")
    finally:
        following.kill()
        following.communicate()


def test_following_can_be_ended_by_the_system(served: Paths) -> None:
    """With the exit code of SIGTERM, and without a word."""
    following = process(served, "logs", "--follow", "-n", "1")
    assert following.stdout
    following.stdout.readline()
    following.send_signal(signal.SIGTERM)
    _, complaints = following.communicate(timeout=TIMEOUT_S)
    assert (following.returncode, complaints) == (143, "")


def test_what_does_not_answer_is_replaced(
    paths: Paths, afterword: Afterword, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By restart, which says that it had to use force."""
    monkeypatch.setattr(client, "GREETING_S", 0.05)
    said(afterword("start"))
    first = pid_of(paths)
    os.kill(first, signal.SIGSTOP)
    monkeypatch.setattr(client, "GOING_S", 0.05)
    assert "does not answer" in afterword("status").err
    stopped = afterword("stop")
    assert said(stopped) == "it did not answer, and was stopped by force\n"
    monkeypatch.undo()
    assert eventually(lambda: not lives(first))


@pytest.mark.slow  # the second waits three seconds for the first to go
def test_in_the_foreground_it_runs_until_it_is_interrupted(
    paths: Paths, afterword: Afterword
) -> None:
    """And a second one says that there is a first."""
    running, second = process(paths, "run"), None
    try:
        assert running.stderr
        assert running.stderr.readline().startswith("serving; the log is ")
        assert json.loads(said(afterword("status", "--json")))["pid"] == running.pid
        second = process(paths, "run")
        _, complaint = second.communicate(timeout=TIMEOUT_S)
        assert (second.returncode, "running already" in complaint) == (75, True)
        running.send_signal(signal.SIGINT)
        assert running.wait(TIMEOUT_S) == 0
        assert afterword("status").code == 3
    finally:
        for one in (running, second):
            if one:
                one.kill()
                one.communicate()


def test_a_daemon_that_tells_less_is_shown_too() -> None:
    """One of another build may have other facts; a line without them is better than none."""
    assert next(view.status(Status(), 0.0)).endswith("unknown, just started · 0 kB · offline")
    assert [*view.status(Status(model=Model()), 0.0)]
    assert [*view.stats({}, None, date(2031, 1, 31), is_on=True)]


# -- words and figures -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "lines"),
    [
        (Learning(state="training", share=0.25), ["training, 25 %"]),
        (
            Learning(state="halted", share=0.25, detail="waits for mains power"),
            ["training stands still at 25 %: waits for mains power"],
        ),
        (
            Learning(state="waiting", detail="waits for mains power", waiting_characters=25_000),
            ["waits for mains power; 25,000 characters wait for the weights"],
        ),
        (Learning(state="forgetting"), ["forgetting"]),
        (Learning(state="forgetting", share=0.5), ["forgetting; the model is made anew, 50 %"]),
        (
            Learning(
                state="idle",
                forgotten=Forgot(sentence="forgotten", when=1e9 - 60),
                last=Training(sentence="it is better", when=1e9 - 7200),
            ),
            ["nothing waits for the weights", "1 minute ago: forgotten", "2 hours ago: it is"],
        ),
    ],
)
def test_what_learning_is_about_is_shown(facts: Learning, lines: list[str]) -> None:
    """What goes on, why not, and what came of it."""
    shown = [*view.learning(facts, 1e9)]
    assert len(shown) == len(lines)
    assert all(line in found for line, found in zip(lines, shown, strict=True))


@pytest.mark.parametrize(
    ("form", "value", "words"),
    [
        (view.span, 1.44, "1.4 s"),
        (view.span, 59.2, "59 s"),
        (view.span, 200, "3 min 20 s"),
        (view.span, 7200, "2 h"),
        (view.span, 8040, "2 h 14 min"),
        (view.span, 90_000, "1 d 1 h"),
        (view.span, -1, "0.0 s"),
        (view.size, 512 << 10, "512 kB"),
        (view.size, 21.4 * (1 << 20), "21 MB"),
    ],
)
def test_figures_read_as_people_say_them(
    form: Callable[[float], str], value: float, words: str
) -> None:
    """Two units at most."""
    assert form(value) == words


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (1_900_000_000, "just now"),
        (1_900_000_090, "1 minute ago"),
        (1_900_010_000, "2 hours ago"),
        (1_900_300_000, "3 days ago"),
        (1_910_000_000, "on 2030-03-17"),
        (1_800_000_000, "on 2030-03-17"),  # a clock that was set back
    ],
)
def test_ages_are_told_in_words(now: float, words: str) -> None:
    """As far as words are clearer than a date."""
    assert view.age("2030-03-17T17:46:40Z", now) == words


def test_a_stream_gets_what_it_can_show(tmp_path: Path) -> None:
    """Signs and colours for a terminal with both, words for all."""
    path = tmp_path / "out"
    for encoding, environ, shown in (
        ("utf-8", {}, "● ready · fine\n"),
        ("ascii", {}, "* ready | fine\n"),
        ("utf-8", {"FORCE_COLOR": "1"}, "\x1b[32m●\x1b[0m ready · fine\n"),
        ("utf-8", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, "● ready · fine\n"),
    ):
        with path.open("w", encoding=encoding) as stream:
            view.put(
                f"{view.painted('●', view.GREEN)} ready · fine", stream=stream, environ=environ
            )
        assert path.read_text(encoding=encoding) == shown
