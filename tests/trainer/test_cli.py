"""The command line: what is wrong is one sentence, what it is for is said, nothing is lost."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from afterword_trainer import secrets
from afterword_trainer.terminal import as_typed
from processes import TIMEOUT_S, Trainer, command, environment


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["lern"], 2, "hint: trainer learn    (did you mean that?)"),
        (["bogus"], 2, "there is no 'bogus'\n\nhint: trainer --help"),
        (["learn"], 2, "PATH"),
        (["learn", "x", "--minutes", "0"], 2, "within 0.4 and 10000"),
        (["learn", "x", "--minutes", "soon"], 2, "within 0.4 and 10000"),
        (["learn", "x", "--dropout", "1"], 2, "--dropout"),
        (["learn", ".", "--units", "9000"], 1, "units 9000"),
        (["learn", ".", "--layers", "8", "--units", "4096"], 1, "--units"),
        (["sample", "--seed", "-1"], 2, "--seed"),
        (["learn", "x", "--minutes", "1", "--epochs", "1"], 2, "not allowed with"),
        (["learn", "x", "--cell", "elman"], 2, "lstm"),
        (["sample"], 1, "hint: trainer learn ~/notes"),
        (["report"], 1, "nothing was learned yet"),
        (["use", "you-9"], 1, "you-9"),
        (["use", "../../etc"], 1, "error:"),
        (["rollback"], 1, "no earlier model"),
        (["import", "/nowhere/at/all"], 1, "/nowhere/at/all"),
        (["learn", "/nowhere/at/all"], 1, "/nowhere/at/all: there is no such file"),
        (["corpus", "/nowhere/at/all"], 1, "/nowhere/at/all: there is no such file"),
        (["learn", ""], 2, "an empty path"),
        (["learn", os.devnull, "--from", "scratch"], 1, "0 characters of text are too little"),
        (["learn", ".", "--from", "current"], 1, "no current model"),
        (["learn", "."], 1, "or learn with `--from scratch`"),
    ],
)
def test_errors_are_a_sentence_and_a_remedy(
    trainer: Trainer, arguments: list[str], code: int, said: str
) -> None:
    """Exit code 2 for wrong usage, 1 for what cannot be done; never a traceback."""
    result = trainer(*arguments)
    assert result.returncode == code
    assert said in result.stderr
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("own", "home", "expected"),
    [
        ("/usr/bin/trainer", "", "trainer use you-1"),
        ("/usr/bin/trainer", "/home/me/words", "trainer use you-1"),
        (".venv/bin/trainer", "", ".venv/bin/trainer use you-1"),
        (".venv/bin/afterword", ".try", "AFTERWORD_HOME=.try .venv/bin/trainer use you-1"),
        ("/usr/bin/trainer", "my home", "AFTERWORD_HOME='my home' trainer use you-1"),
        ("tests/pytest", ".", "AFTERWORD_HOME=. trainer use you-1"),
    ],
)
def test_a_hint_works_where_it_is_read(
    own: str, home: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in `make try`, whose home is its own and whose program is not on the PATH."""
    monkeypatch.setattr("sys.argv", [own])
    monkeypatch.setenv("AFTERWORD_HOME", home)
    assert as_typed("trainer use you-1") == expected
    assert as_typed("free some space") == "free some space"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["learn", "--help"], ["evaluate", "--help"], ["sample", "--help"]]
)
def test_help_is_there(trainer: Trainer, arguments: list[str]) -> None:
    """On standard output, and with every option explained."""
    result = trainer(*arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert "usage: trainer" in result.stdout


def test_corpus_says_what_would_be_learned_and_what_not(
    trainer: Trainer, notes: Path, home: Path
) -> None:
    """Counts by language and by reason; nothing is written anywhere."""
    result = trainer("corpus", str(notes), "--skipped")
    assert result.returncode == 0
    assert "markdown" in result.stdout
    assert "picture.png: not text" in result.stdout
    assert "nothing was learned" in result.stdout
    assert not home.exists()
    found = json.loads(trainer("corpus", str(notes), "--json").stdout)
    assert found["documents"] + found["files_skipped"] == len(list(notes.iterdir()))
    assert found["secrets_removed"] == 1
    assert "secrets" not in found
    found = json.loads(trainer("corpus", str(notes), "--json", "--skipped").stdout)
    ((name, line, kind),) = [(one["path"], one["line"], one["kind"]) for one in found["secrets"]]
    assert f"{name}, line {line} of its text: {secrets.IN_WORDS[kind]}" in result.stdout
    assert trainer("learn", "--dry-run", str(notes)).returncode == 0
    assert not home.exists()


def test_what_was_typed_does_not_act_on_the_terminal(trainer: Trainer) -> None:
    """A name, a path and an option's value are quoted as marks."""
    for arguments in (("forget", "x\x1b[31m"), ("learn", "x\x1b[31m"), ("x\x1b[31m",)):
        result = trainer(*arguments)
        assert result.returncode != 0
        assert "\x1b" not in result.stdout + result.stderr


def test_an_empty_shelf_says_what_to_type(trainer: Trainer) -> None:
    """The first thing a person may try."""
    result = trainer("models")
    assert (result.returncode, result.stderr) == (0, "")
    assert "trainer learn ~/notes" in result.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_that_cannot_be_written_is_one_sentence(
    trainer: Trainer, notes: Path, home: Path
) -> None:
    """It names the folder and says how to choose another one."""
    home.mkdir(mode=0o500)
    result = trainer("learn", str(notes), "--from", "scratch")
    assert result.returncode == 1
    assert str(home) in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_streams_are_no_reason_to_fail(home: Path, closed: tuple[int, ...]) -> None:
    """Whoever starts programs without a terminal may close them."""
    process = subprocess.run(
        command("models"),
        env=environment(home),
        timeout=TIMEOUT_S,
        check=False,
        preexec_fn=lambda: [os.close(descriptor) for descriptor in closed],
    )
    assert process.returncode == 0


def test_a_terminal_without_unicode_gets_marks(trainer: Trainer, notes: Path, home: Path) -> None:
    """What it cannot show is replaced, and nothing breaks."""
    (notes / "中.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    process = subprocess.run(
        command("corpus", str(notes), "--skipped"),
        env={**environment(home), "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, b"")
    assert b"?.png" in process.stdout
