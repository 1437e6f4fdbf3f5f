"""Forgetting: at once, without a trace, and in the end as if it had never been learned."""

import base64
import hashlib
import json
import os
import select
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import bases
import pytest
from afterword_trainer import corpus, durable, finding, forget, learn, ledger
from afterword_trainer.corpus import Document
from afterword_trainer.forgotten import Forgotten
from afterword_trainer.ledger import Entry
from afterword_trainer.model.bundle import document
from afterword_trainer.paths import Paths
from afterword_trainer.registry import Registry
from afterword_trainer.shelf import Shelf
from processes import TIMEOUT_S, Start, Trainer, command, environment, read_until, records_of

CANARY = "The quarterly zebra committee adjourned in Timbuktu at dusk."


@pytest.fixture
def paths(home: Path) -> Paths:
    """A home with a base."""
    bases.make(home / "base")
    return Paths.from_environment(
        {"AFTERWORD_HOME": str(home), "AFTERWORD_BASE": str(home / "base")}
    )


def publish(paths: Paths, id: str, *files: str, numbered: bool = True) -> None:
    """A model that has learned `files`, put to use."""
    registry = Registry.load(paths)
    documents = []
    for file in files:
        row = registry.file(file)
        documents.append(document(hashlib.sha256(file.encode()).hexdigest()[:16], id=row.id))
    if not numbered:
        documents = [document(d["digest"]) for d in documents]
    registry.save()
    shelf = Shelf(paths.models, paths.base)
    shelf.use(shelf.publish(bases.bundle(id, documents=documents)))


def models(paths: Paths) -> list[str]:
    """Those on the shelf, the one in use marked."""
    entries = Shelf(paths.models, paths.base).entries()
    return [f"{entry.id}{'*' if entry.is_current else ''}" for entry in entries]


# -- what goes ---------------------------------------------------------------------------------


def test_models_that_saw_it_go_and_the_newest_that_did_not_serves(paths: Paths) -> None:
    """Whatever lies between them on the shelf."""
    publish(paths, "you-1", "/n/a.md")
    publish(paths, "you-2", "/n/a.md", "/n/b.md")
    publish(paths, "you-3", "/n/a.md")
    publish(paths, "you-4", "/n/b.md")
    for report in ("you-3", "you-4"):
        (paths.reports).mkdir(parents=True, exist_ok=True)
        (paths.reports / f"{report}.html").write_text("quotes")
    forget.forget(Path("/n/b.md"), paths)
    assert models(paths) == ["base", "you-1", "you-3*"]
    assert [path.name for path in paths.reports.iterdir()] == ["you-3.html"]
    assert Forgotten.load(paths).holds("/n/b.md")
    assert list(Registry.load(paths).files) == ["/n/a.md"]


def test_a_model_that_the_gate_refused_serves_only_if_there_is_no_other(paths: Paths) -> None:
    """It lies on the shelf because a person asked for it."""
    publish(paths, "you-1", "/n/a.md")
    publish(paths, "you-2", "/n/b.md")
    shelf = Shelf(paths.models, paths.base)
    refused = bases.bundle(
        "you-3", documents=[document("d" * 16, id=Registry.load(paths).files["/n/a.md"].id)]
    )
    verdict = {"verdict": {"accepted": False, "sentence": "no better"}}
    shelf.publish(replace(refused, provenance={**refused.provenance, **verdict}))
    assert forget.traces(Path("/n/b.md"), paths).successor == "you-1"


def test_a_folder_goes_with_all_that_is_in_it(paths: Paths) -> None:
    """And when no model is left, the base serves."""
    publish(paths, "you-1", "/n/a/x.md")
    publish(paths, "you-2", "/n/a/x.md", "/n/a/deep/y.md", "/m/z.md")
    forget.forget(Path("/n/a"), paths)
    assert models(paths) == ["base*"]
    assert list(Registry.load(paths).files) == ["/m/z.md"]


@pytest.mark.parametrize("how", ["no numbers", "no documents", "lost registry"])
def test_a_model_of_which_nobody_knows_what_it_saw_goes(how: str, paths: Paths) -> None:
    """Such as those that learned before files had numbers."""
    if how == "no documents":
        publish(paths, "you-1")
    else:
        publish(paths, "you-1", "/n/a.md", numbered=how != "no numbers")
    publish(paths, "you-2", "/n/b.md")
    if how == "lost registry":
        (paths.data / "learned.json").write_bytes(b"")
    found = forget.traces(Path("/elsewhere.md"), paths)
    assert found.tainted["you-1"] == "nobody knows what it has seen"
    assert ("you-2" in found.tainted) == (how == "lost registry")
    assert models(paths) == ["base", "you-1", "you-2*"]  # looking changes nothing


def test_what_is_in_use_and_clean_stays(paths: Paths) -> None:
    """Even if there is a newer one."""
    publish(paths, "you-1", "/n/a.md")
    publish(paths, "you-2", "/n/b.md")
    publish(paths, "you-3", "/n/a.md")
    Shelf(paths.models, paths.base).use("you-1")
    forget.forget(Path("/n/b.md"), paths)
    assert models(paths) == ["base", "you-1*", "you-3"]
    assert forget.pending(paths) is None


def test_what_was_never_learned_is_never_read(paths: Paths) -> None:
    """Nothing goes."""
    publish(paths, "you-1", "/n/a.md")
    found = forget.forget(Path("/n/other.md"), paths)
    assert (found.files, dict(found.tainted)) == ((), {})
    assert models(paths) == ["base", "you-1*"]
    assert Forgotten.load(paths).holds("/n/other.md")


def test_nothing_that_may_hold_it_is_left(paths: Paths) -> None:
    """Models that cannot be read, what was begun, prepared text, the memory, its own number."""
    publish(paths, "you-1", "/n/a.md")
    publish(paths, "you-2", "/n/b.md")
    publish(paths, "you-3", "/n/b.md")
    weights = paths.models / "you-2" / "weights.bin"
    weights.write_bytes(weights.read_bytes()[:-1])
    held = [
        paths.runs / "checkpoint-1" / "arrays",
        paths.runs / "text" / "text",
        paths.cache / "evaluations" / "text",
        paths.data / "memory",
        paths.reports / "you-2.html",
    ]
    for file in held:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"On Monday")
    registry = Registry.load(paths)
    registry.root("/n/a.md")
    registry.root("/n/b.md")
    registry.save()
    found = forget.forget(Path("/n/a.md"), paths)
    assert found.tainted == {"you-1": "it has seen it", "you-2": "it cannot be read"}
    assert models(paths) == ["base", "you-3*"]
    assert [file for file in held if file.exists()] == []
    assert list(Registry.load(paths).roots) == ["/n/b.md"]


def test_what_is_published_while_it_waits_goes_too(paths: Paths) -> None:
    """Whoever trains has the lock, and may be about to put a model to use that has seen it."""
    publish(paths, "you-1", "/n/b.md")
    with ThreadPoolExecutor() as threads:
        with durable.locked(paths.runs / learn.LOCK):
            forgetting = threads.submit(forget.forget, Path("/n/a.md"), paths)
            while not ledger.read(paths).entries:  # what there was by then is known
                assert not forgetting.done()
            publish(paths, "you-2", "/n/a.md")
        forgetting.result(timeout=TIMEOUT_S)
    assert models(paths) == ["base", "you-1*"]


def test_a_rebuild_is_of_the_same_shape_and_leaves_out_the_same(paths: Paths) -> None:
    """What was made from scratch is made from scratch again, without what patterns ignored."""
    registry = Registry.load(paths)
    root = registry.root("/n").id
    registry.ignore = ("drafts/",)
    registry.save()
    publish(paths, "you-1", "/n/a.md")
    settings = {"work": "learned", "roots": [root], "epochs": 3.0}
    when = ledger.now()
    ledger.add(paths, Entry(what="learned", when=when, model="you-1", settings=settings))
    forget.forget(Path("/n/a.md"), paths)
    request = forget.pending(paths)
    assert request is not None
    assert (request.origin, request.cell) == ("scratch", "lstm")
    assert (request.layers, request.units) == (1, 24)
    assert request.rules.ignore == ("drafts/",)


@pytest.mark.slow
def test_killed_at_any_step_the_same_call_ends_it(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call to the disk fails once; then it is done again."""
    root = Registry.load(paths).root("/n").id
    for n_calls in range(1, 60):
        shutil.rmtree(paths.data, ignore_errors=True)
        publish(paths, "you-1", "/n/a.md")
        registry = Registry.load(paths)
        root = registry.root("/n").id
        registry.save()
        made = Entry(
            what="learned",
            when=ledger.now(),
            model="you-1",
            parent="base",
            settings={"work": "learned", "roots": [root], "epochs": 3.0},
        )
        ledger.add(paths, made)
        left = n_calls

        def dies(original: object) -> object:
            def call(*arguments: object) -> object:
                nonlocal left
                left -= 1
                if left == 0:
                    raise KeyboardInterrupt
                return original(*arguments)  # type: ignore[operator]

            return call

        with monkeypatch.context() as patched:
            for name in ("rename", "sync", "unlink", "remove_folder", "write"):
                patched.setattr(durable.disk, name, dies(getattr(durable.disk, name)))
            try:
                forget.forget(Path("/n/a.md"), paths)
            except KeyboardInterrupt:
                pass
            else:
                break
        forget.forget(Path("/n/a.md"), paths)
        assert models(paths) == ["base*"]
        assert Forgotten.load(paths).holds("/n/a.md")
        assert Registry.load(paths).files == {}
        request = forget.pending(paths)
        assert request is not None
        assert ([str(r) for r in request.roots], request.epochs) == (["/n"], 3.0)
    assert n_calls > 10


def test_a_rebuild_learns_all_roots_that_are_left(paths: Paths) -> None:
    """Those of a model, of its updates and of what they came from; until it is done."""
    registry = Registry.load(paths)
    roots = [registry.root(name).id for name in ("/n", "/m", "/gone")]
    registry.save()
    publish(paths, "you-1", "/n/a.md")
    publish(paths, "you-2", "/n/a.md", "/m/b.md", "/gone/c.md")
    how = {"mail": True, "precision": "float32"}
    for model, parent, work, root in (
        ("you-1", "base", "learned", roots[:1]),
        ("you-2", "you-1", "updated", roots[1:]),
    ):
        settings = {"work": work, "roots": root, "epochs": 4.0 if work == "learned" else 0.5} | how
        ledger.add(
            paths,
            Entry(
                what="learned" if work == "learned" else "updated",
                when=ledger.now(),
                model=model,
                parent=parent,
                seed=7,
                settings=settings,
            ),
        )
    forget.forget(Path("/gone"), paths)
    request = forget.pending(paths)
    assert request is not None
    assert sorted(map(str, request.roots)) == ["/m", "/n"]
    assert (request.epochs, request.seed, request.threads) == (4.0, 7, 1)
    assert (request.origin, request.precision, request.rules.mail) == ("base", "float32", True)
    ledger.add(paths, Entry(what="rebuilt", when=ledger.now(), model="you-3"))
    assert forget.pending(paths) is None


# -- what is said and asked --------------------------------------------------------------------


ASKED_S = 20.0  # by then something is shown, or the question went elsewhere


def in_a_terminal(paths: Paths, answer: str, *arguments: str) -> tuple[int, str]:
    """`trainer` where somebody sits, who answers what is asked; exit code and screen."""
    controller, terminal = os.openpty()
    process = subprocess.Popen(
        command(*arguments),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment(paths.data.parent),
    )
    os.close(terminal)
    shown, answered = "", False
    with suppress(OSError):  # Linux says so when the other side is gone
        while select.select([controller], [], [], ASKED_S)[0]:
            data = os.read(controller, 4096)
            if not data:
                break
            shown += data.decode()
            if not answered and "[y/N] " in shown:
                os.write(controller, answer.encode() + b"\n")
                answered = True
    os.close(controller)
    if not answered:
        process.kill()
        process.wait()
    assert answered, shown
    return process.wait(timeout=TIMEOUT_S), shown


def test_the_question_is_seen_and_answered(paths: Paths) -> None:
    """In the terminal, not in the log that libraries write to."""
    publish(paths, "you-1", "/n/a.md")
    code, shown = in_a_terminal(paths, "", "forget", "/n/a.md")
    assert (code, "nothing was forgotten" in shown, "error" in shown) == (1, True, False)
    assert models(paths) == ["base", "you-1*"]
    code, shown = in_a_terminal(paths, "y", "forget", "/n/a.md")
    assert (code, "forgotten, and not read again" in shown) == (0, True)
    assert models(paths) == ["base*"]


def test_nothing_is_deleted_for_what_was_never_learned(
    trainer: Trainer, paths: Paths, tmp_path: Path
) -> None:
    """It is not read from now on; a path that is not there is most often mistyped."""
    publish(paths, "you-1", "/n/a.md")
    (tmp_path / "b.md").touch()
    told = trainer("forget", str(tmp_path / "b.md"))
    assert (told.returncode, told.stderr) == (0, "")
    assert "no model is known to have learned it" in told.stdout
    assert "trainer forget --undo" in told.stdout
    assert Forgotten.load(paths).holds(tmp_path / "b.md")
    assert models(paths) == ["base", "you-1*"]
    told = trainer("forget", str(tmp_path / "c.md"))
    assert (told.returncode, "check the spelling" in told.stderr) == (1, True)
    assert not Forgotten.load(paths).holds(tmp_path / "c.md")


def test_models_of_which_nothing_is_known_go_only_if_one_says_so(
    trainer: Trainer, paths: Paths, tmp_path: Path
) -> None:
    """Where nothing of the path was learned here."""
    publish(paths, "you-1", "/n/a.md", numbered=False)
    (tmp_path / "b.md").touch()
    assert trainer("forget", str(tmp_path / "b.md")).returncode == 0  # with nobody to ask
    code, shown = in_a_terminal(paths, "n", "forget", str(tmp_path / "b.md"))
    assert (code, "nobody knows what it has seen" in shown) == (0, True)
    # As a daemon orders it: who asked in an editor was not shown that there is such a model.
    ordered = subprocess.run(
        command("forget", "--background", "--yes", "--json", str(tmp_path / "b.md")),
        env=environment(paths.data.parent),
        stdin=subprocess.DEVNULL,  # it leaves when a pipe there ends
        capture_output=True,
        check=True,
        timeout=TIMEOUT_S,
    )
    assert json.loads(ordered.stdout)["spared"] == ["you-1"]
    assert models(paths) == ["base", "you-1*"]
    code, _ = in_a_terminal(paths, "y", "forget", str(tmp_path / "b.md"))
    assert (code, models(paths)) == (0, ["base*"])


def test_what_was_forgotten_is_a_reason(trainer: Trainer, paths: Paths, tmp_path: Path) -> None:
    """Of what would not be learned; unless it is named itself."""
    notes = folder(tmp_path, "here")
    Forgotten.load(paths).add(notes / "day-3.md")
    shown = trainer("corpus", str(notes)).stdout
    assert "forgotten at your wish" in shown
    assert "7 files" in shown
    assert "day-3.md: forgotten" in trainer("corpus", str(notes), "--skipped").stdout
    (told,) = records_of(trainer("learn", str(notes), "--dry-run", "--json").stdout)
    assert (told["documents"], told["files_forgotten"]) == (7, 1)
    named = trainer("learn", str(notes), str(notes / "day-3.md"), "--dry-run").stdout
    assert "8 files" in named
    assert Forgotten.load(paths).holds(notes / "day-3.md")


# -- the whole way -----------------------------------------------------------------------------


def folder(tmp_path: Path, name: str) -> Path:
    """Notes below `name`, one of which holds the canary."""
    notes = tmp_path / name / "notes"
    notes.mkdir(parents=True)
    for number in range(8):
        lines = [f"On day {number} we counted {n * n + number} boats.\n" for n in range(40)]
        if number == 3:
            lines[5:30:5] = [CANARY + "\n"] * 5
        path = notes / f"day-{number}.md"
        path.write_text("".join(lines), encoding="utf-8")
        os.utime(path, (1_700_000_000 + number, 1_700_000_000 + number))
    return notes


@pytest.mark.parametrize(
    ("line", "lengths"),
    [
        ("a" * 41, [40]),
        ("a" * 200, [200]),
        ("a" * 239, [200]),  # what is left over is too short
        ("a" * 1_000, [200] * 5),  # a paragraph
        ("a" * 39, [50]),  # too short by itself, but not with the line above
        ("a" * 12 + "\n" + "a" * 14 + "\n\n" + "a" * 16, [56]),  # verse
    ],
)
def test_passages_are_lines_pieces_of_long_ones_and_short_ones_together(
    line: str, lengths: list[int], tmp_path: Path
) -> None:
    """A letter whose paragraphs are single lines can be shown to be gone as well, and verse."""
    letter = tmp_path / "letter.md"
    letter.write_text(f"Dear all,\n\n{line.replace('aaaaa', 'word ')}\nYours\n", encoding="utf-8")
    found, why_none = forget.phrases(letter, {})
    found = list(dict.fromkeys(found))
    assert why_none == ""
    assert [len(phrase.passage) for phrase in found] == lengths
    for phrase in found:
        assert phrase.passage in phrase.document.text
        assert len(phrase.completion) == 24
        assert phrase.passage[len(phrase.passage) // 2 :].startswith(phrase.completion[12:])


MAIL = "From: me@example.org\nSubject: boats\nContent-Type: text/plain\n\n" + "Row, row.\n" * 9


@pytest.mark.parametrize(
    ("name", "text", "recipe", "why_none"),
    [
        ("mail.eml", MAIL, {"mail": True}, ""),
        ("mail.eml", MAIL, {"mail": None}, "it cannot be read any more"),  # nor was it learned
        ("gone.md", None, {}, "it cannot be read any more"),
        ("note.md", "Buy milk.\nAnd bread.\n", {}, "its text is shorter than 40 characters"),
    ],
)
def test_where_there_is_no_passage_it_is_said_why(
    name: str, text: str | None, recipe: dict[str, Any], why_none: str, tmp_path: Path
) -> None:
    """What was learned is read as it was then."""
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    found, why = forget.phrases(tmp_path / name, recipe)
    assert (bool(found), why) == (not why_none, why_none)


def test_only_what_stands_nowhere_else_can_show_that_a_file_is_gone(tmp_path: Path) -> None:
    """However much of it does, and wherever: of a long file that is nearly all of it."""
    lines = [f"On day {n} we went out and counted {n * n + 7} boats.\n" for n in range(300)]
    lines[299] = "At night the owls came down to the harbour.\n"
    for name, own in (("day.md", lines), ("copy.md", lines[:299])):
        (tmp_path / name).write_text("".join(own), encoding="utf-8")
    found, _ = forget.phrases(tmp_path / "day.md", {})
    (copy,) = (
        item
        for item in corpus.documents([tmp_path / "copy.md"], finding.Rules())
        if isinstance(item, Document)
    )
    assert [phrase.passage for phrase in forget.only_there(found, [copy])] == [lines[299][:42]]
    assert forget.only_there(found, [copy, found[0].document]) == []
    chosen = forget.only_there(found, [])
    assert len(chosen) == 20
    assert chosen[0].passage.startswith("On day 0 ")
    assert chosen[-1].passage.startswith("On day 2")


def test_verse_is_gone_on_with_by_who_has_seen_it_alone(tmp_path: Path) -> None:
    """From one line into the next: none of them is as long as a passage."""
    verse = "The owls\nof the harbour\nsat in rows,\nand nobody\ncounted them\nbut the moon."
    (tmp_path / "verse.md").write_text(f"{verse}\n\n" * 6, encoding="utf-8")
    (tmp_path / "prose.md").write_text("On Monday we counted boats.\n" * 20, encoding="utf-8")
    seen, other = (
        [item for item in corpus.documents([path], finding.Rules()) if isinstance(item, Document)]
        for path in (tmp_path / "verse.md", tmp_path / "prose.md")
    )
    wanted = forget.only_there(forget.phrases(tmp_path / "verse.md", {})[0], other)
    before, after = (forget.recalled(bases.bundle(), known, wanted) for known in (seen, other))
    assert before.phrases == after.phrases == len(wanted) > 1
    assert (before.completed, after.completed) == (len(wanted), 0)
    assert before.bits_per_character + 1 < after.bits_per_character


def encodings(text: str) -> list[bytes]:
    """As which text may lie in a file: a telling part of it."""
    found = [text.encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be")]
    found.append(json.dumps(text)[1:-1].encode())
    for shift in range(3):  # base64 of it, wherever it begins
        found.append(base64.b64encode(b" " * shift + text.encode())[4:-4])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_after_forgetting_a_home_is_as_one_that_never_saw_it(
    seed: str, trainer: Trainer, paths: Paths, tmp_path: Path
) -> None:
    """Byte for byte: the weights made anew are those of a home without the file.

    No byte of it is left anywhere, and the lines that stood only there are completed no more.
    """
    notes = folder(tmp_path, "here")
    never = folder(tmp_path, "there")
    (never / "day-3.md").unlink()
    how = ("--epochs", "12", "--threads", "1", "--precision", "float32", "--seed", seed)
    assert trainer("learn", str(notes), *how).returncode == 0
    assert trainer("use", "you-1").returncode == 0

    told = trainer("forget", str(notes / "day-3.md"), "--yes", "--json")
    assert told.returncode == 0, told.stderr
    events = {record["event"]: record for record in records_of(told.stdout)}
    assert events["forgotten"]["tainted"] == {"you-1": "it has seen it"}
    before, after = events["rebuilt"]["before"], events["rebuilt"]["after"]
    assert events["rebuilt"]["why_not_shown"] == ""
    assert (before["phrases"] > 0, before["completed"] > 0, after["completed"]) == (True, True, 0)
    assert after["bits_per_character"] > before["bits_per_character"] + 1

    other = tmp_path / "other"
    shutil.copytree(paths.base.resolve(), other / "base")
    subprocess.run(
        command("learn", str(never), *how),
        env=environment(other),
        capture_output=True,
        check=True,
        timeout=TIMEOUT_S,
    )
    rebuilt, clean = (
        hashlib.sha256((models / "weights.bin").read_bytes()).hexdigest()
        for models in (paths.models / "you-2", other / "data/models/you-1")
    )
    assert rebuilt == clean

    for file in paths.data.parent.rglob("*"):
        if file.is_file() and "base" not in file.parts:
            data = file.read_bytes()
            for needle in encodings("zebra committee adjourned"):
                assert needle not in data, file
            assert b"day-3" not in data, file


@pytest.mark.slow
def test_training_ends_when_what_it_learns_is_forgotten(
    trainer: Trainer, start: Start, paths: Paths, tmp_path: Path
) -> None:
    """The run is dropped with its checkpoint and its text, and the file is gone from all of it."""
    notes = folder(tmp_path, "here")
    process = start(str(notes), "--epochs", "4000", "--threads", "1")
    read_until(process, "stepped")
    told = trainer("forget", str(notes / "day-3.md"), "--yes")
    assert told.returncode == 0, told.stderr
    process.communicate(timeout=60)
    assert process.returncode == 1
    left = {path.name for path in paths.runs.iterdir()}
    assert left <= {"lock", "lock.pid"}
    assert models(paths) == ["base*"]


def test_what_could_not_be_learned_is_not_taken_back(
    trainer: Trainer, paths: Paths, tmp_path: Path
) -> None:
    """A command that ends in an error changes nothing."""
    file = tmp_path / "short.md"
    file.write_text("Hardly a page.\n" * 10, encoding="utf-8")
    Forgotten.load(paths).add(file)
    failed = trainer("learn", str(file))
    assert failed.returncode == 1
    assert "150 characters of text are too little" in failed.stderr
    assert Forgotten.load(paths).holds(file)


def test_what_was_forgotten_may_be_read_again(
    trainer: Trainer, paths: Paths, tmp_path: Path
) -> None:
    """Also a file that is too short to be learned alone; of a folder only what is named."""
    notes = folder(tmp_path, "here")
    for name in ("day-1.md", "day-2.md"):
        assert trainer("forget", str(notes / name), "--yes").returncode == 0
    told = trainer("forget", "--undo", str(notes / "day-1.md"))
    assert (told.returncode, told.stderr) == (0, "")
    forgotten = Forgotten.load(paths)
    assert not forgotten.holds(notes / "day-1.md")
    assert forgotten.holds(notes / "day-2.md")
    for wrong in ("day-1.md", "day-3.md"):
        told = trainer("forget", "--undo", str(notes / wrong))
        assert (told.returncode, "it was not forgotten" in told.stderr) == (1, True)
    (record,) = records_of(trainer("forget", "--undo", str(notes / "day-2.md"), "--json").stdout)
    assert record == {"event": "undone", "path": str(notes / "day-2.md")}


def test_without_a_path_it_goes_on_or_asks_for_one(trainer: Trainer, paths: Paths) -> None:
    """Nothing is forgotten by a word that was left out."""
    for arguments in ((), ("--dry-run",), ("--undo",)):
        told = trainer("forget", *arguments)
        assert (told.returncode, "name what" in told.stderr) == (1, True)
    assert not Forgotten.load(paths)


@pytest.mark.slow
def test_what_was_broken_off_is_gone_on_with(
    trainer: Trainer, paths: Paths, tmp_path: Path
) -> None:
    """By the same command, without a path too."""
    notes = folder(tmp_path, "here")
    assert trainer("learn", str(notes), "--epochs", "1", "--threads", "1").returncode == 0
    trainer("use", "you-1")
    forget.forget(notes / "day-3.md", paths)  # and its process is killed here
    assert ledger.read(paths).to_rebuild
    (told,) = records_of(trainer("forget", "--dry-run", "--json").stdout)
    assert told == {"event": "would_go_on", "tainted": [], "roots": [str(notes)]}
    done = trainer("forget")
    assert done.returncode == 0, done.stderr
    assert "was made without it" in done.stdout
    assert ledger.read(paths).to_rebuild is None
    assert "name what" in trainer("forget").stderr
    for number in range(8):
        forget.forget(notes / f"day-{number}.md", paths)
    assert "too little is left" in trainer("forget").stdout
    assert forget.pending(paths) is None
    assert "too little left for a model" in trainer("history").stdout


def test_what_was_not_deleted_yet_is_neither_used_nor_called_gone(
    trainer: Trainer, paths: Paths
) -> None:
    """Somebody killed it while it waited for a training: it goes on without a path, too."""
    publish(paths, "you-1", "/n/b.md")
    publish(paths, "you-2", "/n/a.md")
    with durable.locked(paths.runs / learn.LOCK):
        killed = subprocess.Popen(
            command("forget", "--yes", "/n/a.md"),
            env=environment(paths.data.parent),
            stdout=subprocess.DEVNULL,
        )
        give_up = time.monotonic() + TIMEOUT_S
        while models(paths) != ["base", "you-1*", "you-2"]:
            assert time.monotonic() < give_up
            time.sleep(0.01)
        killed.kill()
        killed.wait()
    assert "were not deleted yet" in forget.unfinished(paths)
    for verb in (("use", "you-2"), ("rollback",)):
        refused = trainer(*verb)
        assert (refused.returncode, "trainer forget" in refused.stderr) == (1, True)
    assert trainer("use", "base").returncode == 0
    (told,) = records_of(trainer("forget", "--dry-run", "--json").stdout)
    assert told == {"event": "would_go_on", "tainted": ["you-2"], "roots": []}
    assert "you-2" in trainer("forget").stdout
    assert models(paths) == ["base*", "you-1"]
    assert forget.unfinished(paths) == ""
    assert trainer("rollback").returncode == 0


def test_a_training_that_was_killed_is_no_forgetting_that_was(
    trainer: Trainer, paths: Paths
) -> None:
    """It has numbered the file that it was to learn again; nothing goes that has not seen it."""
    publish(paths, "you-1", "/n/a.md", numbered=False)  # from elsewhere: nobody knows
    Forgotten.load(paths).add("/n/b.md")
    registry = Registry.load(paths)
    registry.file("/n/b.md")
    registry.save()
    assert forget.unfinished(paths) == ""
    assert "nothing was broken off" in trainer("forget").stderr
    assert trainer("rollback").returncode == 0
    assert models(paths) == ["base*", "you-1"]


@pytest.mark.slow
def test_who_forgets_beside_another_is_told_who_ends_it(
    trainer: Trainer, paths: Paths, tmp_path: Path
) -> None:
    """Both paths are forgotten; the weights are made anew once, by the second."""
    notes = folder(tmp_path, "here")
    assert trainer("learn", str(notes), "--epochs", "60", "--threads", "1").returncode == 0
    trainer("use", "you-1")
    first = subprocess.Popen(
        command("forget", "--yes", str(notes / "day-3.md")),
        env=environment(paths.data.parent),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    give_up = time.monotonic() + TIMEOUT_S
    while not [*paths.runs.glob("checkpoint-*")] and first.poll() is None:
        assert time.monotonic() < give_up
        time.sleep(0.01)
    second = trainer("forget", "--yes", str(notes / "day-4.md"))
    shown, errors = first.communicate(timeout=TIMEOUT_S)
    assert first.returncode == 0, errors
    assert "the weights were not made anew" in shown
    assert second.returncode == 0, second.stderr
    forgotten = Forgotten.load(paths)
    assert forgotten.holds(notes / "day-3.md")
    assert forgotten.holds(notes / "day-4.md")
    assert ledger.read(paths).to_rebuild is None
    assert len(models(paths)) == 2  # the base, and the one that was made anew


@pytest.mark.slow
def test_learning_a_file_by_name_takes_it_back(
    trainer: Trainer, paths: Paths, tmp_path: Path
) -> None:
    """And says so; learning its folder does not."""
    notes = folder(tmp_path, "here")
    file = notes / "day-3.md"
    assert trainer("forget", str(file), "--yes").returncode == 0
    how = ("--epochs", "0.1", "--threads", "1")
    found = trainer("learn", str(notes), *how)
    assert "had been forgotten" not in found.stderr
    assert str(file) not in Registry.load(paths).files
    found = trainer("learn", str(notes), str(file), *how)
    assert "had been forgotten" in found.stderr
    assert str(file) in Registry.load(paths).files
    assert not Forgotten.load(paths).holds(file)


@pytest.mark.slow
def test_no_library_leaves_anything_in_the_users_own_folder(
    trainer: Trainer, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras writes its settings down where it is told to."""
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setenv("HOME", str(own))
    notes = folder(tmp_path, "here")
    assert trainer("learn", str(notes), "--epochs", "0.1", "--threads", "1").returncode == 0
    assert not [*own.rglob("*")]
    assert (paths.cache / "keras/keras.json").exists()
