"""What was learned when: added to, read back, whatever a crash or a flipped bit did to it."""

import os
from pathlib import Path

import bases
import pytest
from afterword_trainer import durable, ledger, portrait, registry, report
from afterword_trainer.durable import Failpoint
from afterword_trainer.ledger import Entry, Measured
from afterword_trainer.model import bundle
from afterword_trainer.paths import Paths
from afterword_trainer.registry import Registry, salted
from afterword_trainer.shelf import Shelf
from processes import Trainer, records_of


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A home."""
    return Paths.from_environment({"AFTERWORD_HOME": str(tmp_path / "home")})


LEARNED = Entry(
    what="learned",
    when="2031-01-31T12:00:00Z",
    model="you-1",
    parent="base",
    seed=3,
    settings={"roots": ["00ff00ff00ff00ff"], "mail": False},
    documents=(("0123456789abcdef", "fedcba9876543210"),),
    before=Measured(bits_per_character=1.9, ksr=31.0),
    after=Measured(bits_per_character=1.8, ksr=33.5, base_bits_per_character=1.7),
    verdict="better than before",
)
REJECTED = Entry(what="rejected", when="2031-02-01T12:00:00Z", parent="you-1")


# -- the ledger --------------------------------------------------------------------------------


def test_an_entry_names_as_many_documents_as_a_model() -> None:
    """Else nobody could tell of some that a model knows when it learned them."""
    assert ledger.MOST_DOCUMENTS == bundle.MAX_DOCUMENTS


def test_entries_come_back_as_they_were(paths: Paths) -> None:
    """In their order; before the first there is none."""
    assert ledger.read(paths) == ledger.Ledger(entries=())
    for entry in (LEARNED, REJECTED):
        ledger.add(paths, entry)
    assert ledger.read(paths) == ledger.Ledger(entries=(LEARNED, REJECTED))
    assert ledger.read(paths).problem is None


@pytest.mark.parametrize("n_lost", [1, 20, 60])
def test_a_line_that_a_crash_cut_short_costs_no_other(n_lost: int, paths: Paths) -> None:
    """The one before it stands, and so does the one after it; what is left of it is told once."""
    file = paths.data / ledger.NAME
    for entry in (LEARNED, REJECTED):
        ledger.add(paths, entry)
    file.write_bytes(file.read_bytes()[:-n_lost])
    torn = ledger.read(paths)
    assert torn.n_damaged == (0 if n_lost == 1 else 1)
    assert n_lost == 1 or "1 line of the ledger cannot be read" in str(torn.problem)

    ledger.add(paths, LEARNED)
    found = ledger.read(paths)
    assert found.entries == ((LEARNED, REJECTED, LEARNED) if n_lost == 1 else (LEARNED, LEARNED))
    assert found.n_damaged == 0


def test_a_flipped_bit_in_the_middle_costs_its_own_line(paths: Paths) -> None:
    """What comes after it is read all the same."""
    for entry in (LEARNED, REJECTED):
        ledger.add(paths, entry)
    file = paths.data / ledger.NAME
    data = bytearray(file.read_bytes())
    data[40] ^= 1
    file.write_bytes(data)
    found = ledger.read(paths)
    assert (found.entries, found.n_damaged) == ((REJECTED,), 1)


@pytest.mark.parametrize("kind", ["folder", "link", "pipe", "garbage"])
def test_what_is_no_ledger_is_not_gone_on_with(kind: str, paths: Paths, tmp_path: Path) -> None:
    """It is set aside, and where it led nothing is written."""
    file, elsewhere = paths.data / ledger.NAME, tmp_path / "elsewhere"
    ledger.add(paths, LEARNED)
    file.unlink()
    elsewhere.write_text("somebody else's")
    match kind:
        case "folder":
            file.mkdir()
        case "link":
            file.symlink_to(elsewhere)
        case "pipe":
            os.mkfifo(file)
        case "garbage":
            file.write_bytes(b"\x00\xff" * 100_000)
    assert ledger.read(paths).entries == ()
    ledger.add(paths, REJECTED)

    assert ledger.read(paths) == ledger.Ledger(entries=(REJECTED,))
    assert elsewhere.read_text() == "somebody else's"
    assert len(durable.aside(paths.data)) == (kind != "garbage")


@pytest.mark.parametrize("line", [b"[]", b"{}", b'{"what":"praised","when":""}', b"no JSON"])
def test_a_line_of_another_version_is_told(line: bytes, paths: Paths) -> None:
    """Sound, and yet none that this version knows."""
    durable.append(paths.data / ledger.NAME, line)
    ledger.add(paths, REJECTED)
    found = ledger.read(paths)
    assert (found.entries, found.n_damaged) == ((REJECTED,), 1)


@pytest.mark.parametrize("point", [Failpoint.APPEND_AFTER_WRITE, Failpoint.APPEND_DONE])
def test_a_kill_while_adding_leaves_the_others(
    point: Failpoint, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line is there or it is not."""
    ledger.add(paths, LEARNED)

    def killed() -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(durable.PLAN, point, killed)
    with pytest.raises(KeyboardInterrupt):
        ledger.add(paths, REJECTED)
    monkeypatch.delitem(durable.PLAN, point)
    ledger.add(paths, LEARNED)
    found = ledger.read(paths)
    assert (found.entries[0], found.entries[-1], found.n_damaged) == (LEARNED, LEARNED, 0)


def test_people_see_what_was_learned_when(paths: Paths, trainer: Trainer) -> None:
    """In the terminal and in the report, with scores before and after; programs get JSON."""
    assert "trainer learn" in trainer("history").stdout
    for entry in (LEARNED, REJECTED):
        ledger.add(paths, entry)
    shown = trainer("history").stdout.splitlines()
    assert all(part in shown[2] for part in ("learned", "you-1", "1.900", "1.800", "31.0", "33.5"))
    assert "measured, not used" in shown[3]
    first, _ = records_of(trainer("history", "--json").stdout)
    assert (first["model"], first["after"]["ksr"], first["documents"]) == ("you-1", 33.5, 1)

    newest, oldest = portrait.events((LEARNED, REJECTED))
    data = report.ReportData(model="you-1", made="today", events=(newest, oldest))
    page = report.render(data, include_excerpts=False)
    assert "What was learned when" in page
    assert page.index("measured, not used") < page.index("1.900") < page.index("33.5")


@pytest.mark.parametrize(
    ("model", "told"), [("base", "forgotten, then in use"), (None, "forgotten")]
)
def test_the_model_beside_what_was_forgotten_is_the_one_that_stays(
    model: str | None, told: str
) -> None:
    """It reads as what serves since, not as what is gone."""
    (event,) = portrait.events((Entry(what="forgotten", when=REJECTED.when, model=model),))
    assert (event.what, event.model) == (told, model or "")


def test_what_is_in_use_already_is_no_event(paths: Paths, trainer: Trainer) -> None:
    """Put to use twice, it is written down once."""
    shelf = Shelf(paths.models, paths.base)
    shelf.publish(bases.bundle("you-1"))
    told = [trainer("use", "you-1").stdout for _ in range(2)]
    assert "in use already" in told[1]
    assert [entry.what for entry in ledger.read(paths).entries] == ["used"]


def test_a_damaged_ledger_is_told_and_read_as_far_as_it_goes(
    paths: Paths, trainer: Trainer
) -> None:
    """On standard error, where it disturbs no program."""
    ledger.add(paths, LEARNED)
    durable.append(paths.data / ledger.NAME, b"no JSON")
    found = trainer("history", "--json")
    assert len(records_of(found.stdout)) == 1
    assert "1 line of the ledger cannot be read" in found.stderr


# -- the registry ------------------------------------------------------------------------------


def test_a_file_has_one_number_for_ever(paths: Paths) -> None:
    """Another file has another; so have the folders that were named."""
    rows = Registry.load(paths)
    first, second = rows.file("/n/a.md"), rows.file("/n/b.md")
    root = rows.root("/n")
    rows.save()
    again = Registry.load(paths)
    assert (again.file("/n/a.md"), again.file("/n/b.md")) == (first, second)
    assert len({first.id, second.id, root.id}) == 3
    assert again.roots_of([root.id, "00"]) == ["/n"]


def test_what_lies_below_a_path(paths: Paths, tmp_path: Path) -> None:
    """The path itself, what is in it, by name and by where a link leads."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    rows = Registry(paths)
    for name in ("real/a.md", "real/deep/b.md", "reality.md", "other/c.md"):
        rows.file(str(tmp_path / name))

    def below(name: str) -> list[str]:
        return [str(Path(file).relative_to(tmp_path)) for file, _ in rows.below(tmp_path / name)]

    assert below("real") == ["real/a.md", "real/deep/b.md"]
    assert below("link") == ["real/a.md", "real/deep/b.md"]
    assert below("real/a.md") == ["real/a.md"]
    assert below("rea") == []


def test_a_dropped_row_makes_the_digest_of_its_text_useless(paths: Paths) -> None:
    """A new row of the same file has another salt."""
    rows = Registry(paths)
    before = salted(rows.file("/n/a.md"), "fedcba9876543210")
    assert before == salted(rows.file("/n/a.md"), "fedcba9876543210")
    rows.drop(["/n/a.md"])
    assert before != salted(rows.file("/n/a.md"), "fedcba9876543210")


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"files":{},"roots":{},"sha256":""}'])
def test_a_damaged_registry_is_set_aside(data: bytes, paths: Paths) -> None:
    """Nothing is deleted that somebody may want to look at."""
    Registry(paths).save()
    (paths.data / registry.NAME).write_bytes(data)
    assert Registry.load(paths).files == {}
    assert [path.read_bytes() for path in paths.data.glob("*.broken")] == [data]
