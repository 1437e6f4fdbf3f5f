"""Paths to forget, one after another: what is on disk, what the child is asked, what came of it."""

import asyncio
import errno
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from afterword_daemon import child, forgetting, trainee
from afterword_daemon.forgetting import MOST_TRIES, Forgetting, ForgettingError
from afterword_trainer import background, durable
from afterword_trainer.durable import StateError
from afterword_trainer.forgotten import Forgotten
from afterword_trainer.paths import Paths
from daemons import eventually, lives

FOUND = {"event": "forgotten", "tainted": {"you-7": "it has seen it"}, "successor": "base"}
SPARED = {"event": "forgotten", "successor": "you-7", "spared": ["you-7"]}
MADE = {"event": "rebuilt", "learned": {"id": "you-8", "active": True, "previous": "base"}}
WORSE = {"event": "rebuilt", "learned": {"id": "you-8", "active": False, "previous": "base"}}


@dataclass
class Desk:
    """A daemon's forgetting, and all that it told."""

    forgetting: Forgetting
    told: list[tuple[bool, float | None, str]] = field(default_factory=list)

    @property
    def sentences(self) -> list[str]:
        """What came of paths, in order."""
        return [sentence for _, _, sentence in self.told if sentence]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A home, beside two files of the user's."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.md").write_text(name)
    return Paths.from_environment({"AFTERWORD_HOME": str(tmp_path / "home")})


def script(*lines: str) -> tuple[str, ...]:
    """A child that runs these lines; its last argument is the path."""
    return sys.executable, "-c", "\n".join(["import os, sys, time", *lines])


def saying(*records: object, code: int = 0) -> tuple[str, ...]:
    """A child that says so much, and ends."""
    lines = [f"print({json.dumps(record)!r}, flush=True)" for record in records]
    return script(*lines, f"sys.exit({code})")


@asynccontextmanager
async def at_a_desk(paths: Paths, command: tuple[str, ...]) -> AsyncIterator[Desk]:
    """A daemon that forgets, until the block ends."""
    told: list[tuple[bool, float | None, str]] = []
    one = Forgetting(
        paths, command=command, tell=lambda what: told.append((one.is_busy, one.share, what))
    )
    running = asyncio.ensure_future(one.run())
    try:
        yield Desk(one, told)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def until(condition: Callable[[], object]) -> None:
    """Wait, but not for ever."""
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it has not come true within half a minute")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the child often, and try again at once."""
    monkeypatch.setattr(forgetting, "SLICE_S", 0.01)
    monkeypatch.setattr(forgetting, "AGAIN_S", 0.01)


@pytest.mark.parametrize(
    ("says", "how", "sentence", "model"),
    [
        ([], "nothing", "forgotten; no model had seen it", ""),
        ([{"event": "forgotten", "tainted": {}}], "nothing", "no model had seen it", ""),
        ([FOUND], "deleted", "so are the models that may have seen it; base is in use", ""),
        ([SPARED], "nothing", "nobody knows whether you-7 saw it", ""),
        ([FOUND, MADE], "rebuilt", "you-8 was made without it and is in use", "you-8"),
        ([FOUND, WORSE], "rebuilt", "made without it and is not in use, base is", "you-8"),
        ([FOUND, {"event": "rebuilt", "learned": None}], "deleted", "too little is left", ""),
        (["no record", {"event": "rebuilt", "learned": 7}], "nothing", "forgotten", ""),
    ],
)
@pytest.mark.asyncio
async def test_what_came_of_it_is_a_sentence(
    paths: Paths, tmp_path: Path, says: list[object], how: str, sentence: str, model: str
) -> None:
    """As the trainer says it; the next daemon knows it too, and the path stands nowhere."""
    async with at_a_desk(paths, saying(*says)) as desk:
        await desk.forgetting.ask(str(tmp_path / "one.md"))
        assert desk.forgetting.is_busy
        await until(lambda: desk.sentences)
        assert not desk.forgetting.is_busy
    last = Forgetting(paths).last
    assert last
    assert (last.how, last.model, [last.sentence]) == (how, model, desk.sentences)
    assert sentence in last.sentence
    assert "one.md" not in (paths.data / forgetting.NAME).read_text()


@pytest.mark.asyncio
async def test_it_holds_before_anything_is_begun(paths: Paths, tmp_path: Path) -> None:
    """That nothing reads the path again, and that it is still to be done."""
    path = str(tmp_path / "one.md")
    one = Forgetting(paths)
    await one.ask(path)
    assert Forgotten.load(paths).holds(path)
    assert Forgetting(paths).is_busy


@pytest.mark.asyncio
async def test_a_path_that_nobody_knows_is_refused(paths: Paths, tmp_path: Path) -> None:
    """It may be misspelt; what is forgotten already may be asked for again."""
    one = Forgetting(paths)
    with pytest.raises(ForgettingError, match="check the spelling"):
        await one.ask(str(tmp_path / "three.md"))
    with pytest.raises(ForgettingError, match="check the spelling"):
        await one.ask(str(tmp_path / "on\0e.md"))
    assert not one.is_busy
    Forgotten.load(paths).add(tmp_path / "three.md")
    await one.ask(str(tmp_path / "three.md"))
    assert one.is_busy


@pytest.mark.parametrize("name", [forgetting.NAME, "forgotten.json"])
@pytest.mark.asyncio
async def test_what_cannot_be_written_down_is_refused(
    paths: Paths, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the sentence of the disk; nothing is begun, by this daemon or the next."""
    replace = durable.replace

    def replace_others(path: Path, data: bytes) -> durable.Written:
        with durable.explained(path):
            if path.name == name:
                raise OSError(errno.ENOSPC, "full")
        return replace(path, data)

    monkeypatch.setattr(durable, "replace", replace_others)
    one = Forgetting(paths)
    with pytest.raises(StateError, match=f"{name}: the disk is full"):
        await one.ask(str(tmp_path / "one.md"))
    assert not one.is_busy
    assert not Forgetting(paths).is_busy


@pytest.mark.asyncio
async def test_one_after_another(paths: Paths, tmp_path: Path) -> None:
    """Each by a child of its own, which gets the path as it is; asked for twice is once."""
    note = tmp_path / "begun"
    child_ = script(f"open({str(note)!r}, 'a').write(sys.argv[-1] + '\\n')", "time.sleep(0.2)")
    names = [str(tmp_path / f"{name}.md") for name in ("one", "two")]
    async with at_a_desk(paths, child_) as desk:
        for name in (*names, names[0]):
            await desk.forgetting.ask(name)
        await until(lambda: len(desk.sentences) == 2)
        assert not desk.forgetting.is_busy
    assert note.read_text().split() == names


@pytest.mark.asyncio
async def test_how_far_it_is(paths: Paths, tmp_path: Path) -> None:
    """A share as soon as there is one, and none when it has ended."""
    seen = tmp_path / "seen"
    command = script(
        'print(\'{"event": "stepped", "share": 0.75}\', flush=True)',
        f"while not os.path.exists({str(seen)!r}): pass",
    )
    async with at_a_desk(paths, command) as desk:
        await desk.forgetting.ask(str(tmp_path / "one.md"))
        await until(lambda: desk.forgetting.share == 0.75)
        seen.touch()
        await until(lambda: desk.sentences)
    shares = [share for _, share, _ in desk.told]
    assert (shares[0], shares[-1]) == (None, None)
    assert 0.75 in shares


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (script("sys.exit(1)"), "ended with code 1; see"),
        (script("os.kill(os.getpid(), 9)"), "ended by signal 9; see"),
        (("/no/such/program",), "cannot be started"),
    ],
)
@pytest.mark.asyncio
async def test_what_fails_is_said_and_tried_by_the_next_daemon(
    paths: Paths, tmp_path: Path, command: tuple[str, ...], why: str
) -> None:
    """Some times; then somebody has to look at it, or to ask again."""
    await Forgetting(paths).ask(str(tmp_path / "one.md"))
    for _ in range(MOST_TRIES):
        assert Forgetting(paths).is_busy
        async with at_a_desk(paths, command) as desk:
            await until(lambda: desk.sentences)
            assert not desk.forgetting.is_busy
        last = desk.forgetting.last
        assert last
        assert last.how == "died"
        assert why in last.sentence
        assert "trainer forget" in last.sentence
    last_one = Forgetting(paths)
    assert not last_one.is_busy
    await last_one.ask(str(tmp_path / "one.md"))
    assert last_one.is_busy


@pytest.mark.asyncio
async def test_what_killed_daemons_were_at_is_not_given_up_in_silence(
    paths: Paths, tmp_path: Path
) -> None:
    """None of them could say that it failed; the next one does."""
    await Forgetting(paths).ask(str(tmp_path / "one.md"))
    file = paths.data / forgetting.NAME
    file.write_text(file.read_text().replace('"tries":0', f'"tries":{MOST_TRIES}'))
    async with at_a_desk(paths, saying()) as desk:
        await until(lambda: desk.sentences)
    assert "models may still know it" in desk.sentences[0]
    _, last = forgetting.stored(paths)
    assert last
    assert last.how == "died"


@pytest.mark.asyncio
async def test_it_waits_while_another_is_at_work_on_models(paths: Paths, tmp_path: Path) -> None:
    """As often as need be."""
    note = tmp_path / "tries"
    command = script(
        f"file = open({str(note)!r}, 'a+'); file.write('x'); file.seek(0)",
        f"sys.exit({trainee.GAVE_WAY} if len(file.read()) < {MOST_TRIES + 3} else 0)",
    )
    async with at_a_desk(paths, command) as desk:
        await desk.forgetting.ask(str(tmp_path / "one.md"))
        await until(lambda: desk.sentences)
    assert desk.sentences == ["forgotten; no model had seen it"]
    assert trainee.GAVE_WAY == background.LEFT


@pytest.mark.asyncio
async def test_who_asks_again_meanwhile_does_no_harm(paths: Paths, tmp_path: Path) -> None:
    """A daemon that ends then is followed by one that knows what to do."""
    path = str(tmp_path / "one.md")
    async with at_a_desk(paths, script("time.sleep(100)")) as desk:
        await desk.forgetting.ask(path)
        await until(lambda: desk.told)
        await desk.forgetting.ask(path)
    assert Forgetting(paths).is_busy


@pytest.mark.asyncio
async def test_what_is_asked_for_meanwhile_comes_first(paths: Paths, tmp_path: Path) -> None:
    """A making of weights ends when something else is to be forgotten; the last one does it."""
    note = tmp_path / "begun"
    one, two = (str(tmp_path / f"{name}.md") for name in ("one", "two"))
    command = script(
        f"file = open({str(note)!r}, 'a+'); file.write(sys.argv[-1][-6:-3] + ' '); file.flush()",
        "file.seek(0)",
        "while sys.argv[-1].endswith('one.md') and len(file.read().split()) < 2:",
        f"    if open({str(paths.data / forgetting.NAME)!r}).read().count('.md') > 1: sys.exit(1)",
        "    file.seek(0)",
    )
    async with at_a_desk(paths, command) as desk:
        await desk.forgetting.ask(one)
        await until(note.exists)
        await desk.forgetting.ask(two)
        await until(lambda: len(desk.sentences) == 2)
    assert note.read_text().split() == ["one", "two", "one"]
    assert desk.sentences == ["forgotten; no model had seen it", "forgotten"]


@pytest.mark.asyncio
async def test_a_daemon_that_ends_leaves_no_child_and_the_next_goes_on(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often: that is no fault of the path's."""
    begun = []
    started = child._started

    def noted(*given: object) -> object:
        begun.append(started(*given))  # type: ignore[arg-type]
        return begun[-1]

    monkeypatch.setattr(child, "_started", noted)
    await Forgetting(paths).ask(str(tmp_path / "one.md"))
    for n in range(1, MOST_TRIES + 2):
        async with at_a_desk(paths, script("time.sleep(100)")):
            await until(lambda n=n: len(begun) == n)
        assert eventually(lambda: not lives(begun[-1].pid))
    async with at_a_desk(paths, saying(FOUND, MADE)) as desk:
        await until(lambda: desk.sentences)
    assert desk.sentences == ["forgotten; you-8 was made without it and is in use"]


@pytest.mark.parametrize("data", [b"", b"{", b'{"version":2}', b'{"waiting":[{"path":7}]}'])
def test_a_damaged_file_is_told(paths: Paths, data: bytes) -> None:
    """What was asked for holds all the same; only the weights have to be asked for again."""
    paths.data.mkdir(parents=True)
    (paths.data / forgetting.NAME).write_bytes(data)
    assert not Forgetting(paths).is_busy
    n_waiting, last = forgetting.stored(paths)
    assert last
    assert (n_waiting, last.how) == (0, "died")
    assert last.sentence.endswith("to try again: trainer forget PATH")
