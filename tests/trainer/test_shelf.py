import errno
import gzip
import io
import os
import resource
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import crash_disks
import numpy as np
import pytest
from afterword_trainer import durable
from afterword_trainer.durable import Failpoint, StateError
from afterword_trainer.model import bundle as bundles
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.bundle import Bundle, BundleCorruptError, BundleMissingError
from afterword_trainer.model.spec import NetworkSpec
from afterword_trainer.model.step import NetworkPredictor, NumpyStep
from afterword_trainer.shelf import MAX_ARCHIVE, Shelf, ShelfError


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "disk", crash_disks.QuickDisk())


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "data" / "models")


def make_bundle(id: str = "you-1") -> Bundle:
    spec = NetworkSpec(n_symbols=258, cell="rnn", layers=1, units=1, embedding=1)
    return Bundle(
        id=id,
        created="2031-01-31T12:00:00Z",
        spec=spec,
        alphabet=Alphabet(),
        weights={
            name: np.full(shape, len(id), np.float32)
            for name, shape in spec.weight_shapes().items()
        },
        graphs={1: b"\x1c\0\0\0TFL3"},
        scores={"heldout_bits": 1.5},
    )


def fill(shelf: Shelf, *used: bool) -> Shelf:
    """A shelf with you-1, you-2 and so on, each put to use or not."""
    for is_used in used:
        id = shelf.publish(make_bundle(shelf.next_id()))
        if is_used:
            shelf.use(id)
    return shelf


def served(shelf: Shelf) -> tuple[str | None, str | None]:
    bundle, notice = shelf.current()
    return bundle.id if bundle else None, notice


def damage(shelf: Shelf, id: str) -> None:
    weights = shelf.root / id / "weights.bin"
    data = bytearray(weights.read_bytes())
    data[100] ^= 1
    weights.chmod(0o600)
    weights.write_bytes(data)


# -- everyday ----------------------------------------------------------------------------------


def test_an_empty_shelf_has_nothing_and_makes_nothing(shelf: Shelf) -> None:
    """Looking at a fresh machine is no error and leaves no trace."""
    assert (shelf.current(), shelf.entries(), shelf.next_id()) == ((None, None), [], "you-1")
    assert not shelf.root.exists()


def test_publishing_is_not_using(shelf: Shelf) -> None:
    """A new model waits for the gate; the one in use stays."""
    fill(shelf, True, False)

    assert served(shelf) == ("you-1", None)
    assert [(e.id, e.is_current, e.problem) for e in shelf.entries()] == [
        ("you-1", True, None),
        ("you-2", False, None),
    ]
    assert shelf.entries()[0].scores == {"heldout_bits": 1.5}
    assert shelf.entries()[0].size == sum(
        path.stat().st_size for path in (shelf.root / "you-1").iterdir()
    )


def test_rolling_back_goes_one_further_each_time(shelf: Shelf) -> None:
    """To the model in use before, then to the one before that, then no further."""
    fill(shelf, True, True, False, True)

    assert [shelf.rollback(), shelf.rollback()] == ["you-2", "you-1"]
    assert served(shelf) == ("you-1", None)
    with pytest.raises(ShelfError, match="no earlier model"):
        shelf.rollback()
    assert served(shelf) == ("you-1", None)


def test_using_the_model_in_use_changes_no_history(shelf: Shelf) -> None:
    """Else `rollback` would go back to where one is."""
    fill(shelf, True, True).use("you-2")

    assert shelf.rollback() == "you-1"


def test_rolling_back_passes_over_what_is_gone_or_damaged(shelf: Shelf) -> None:
    """Back to something that works."""
    fill(shelf, True, True, True, True)
    damage(shelf, "you-3")
    shelf.remove("you-2")

    assert shelf.rollback() == "you-1"


def test_only_a_sound_model_is_put_to_use(shelf: Shelf) -> None:
    """Missing, damaged, or no name at all."""
    fill(shelf, True, False)
    damage(shelf, "you-2")

    for id, error in (
        ("you-2", BundleCorruptError),
        ("you-9", BundleMissingError),
        ("../models/you-1", ShelfError),
    ):
        with pytest.raises(error):
            shelf.use(id)
    assert served(shelf) == ("you-1", None)


def test_a_name_is_never_given_twice(shelf: Shelf) -> None:
    """What the ledger or a report calls you-3 is one model for ever."""
    fill(shelf, True, False, False)
    shelf.remove("you-3")
    assert shelf.next_id() == "you-4"
    damage(shelf, "you-1")
    shelf.current()

    assert shelf.publish(make_bundle("you-3")) == "you-4"
    assert shelf.publish(make_bundle("you-1")) == "you-5"
    assert shelf.publish(make_bundle("base-en")) == "base-en"
    assert shelf.load("you-4").id == "you-4"


def test_the_model_in_use_cannot_be_removed(shelf: Shelf) -> None:
    """Nor one that is not there; the sentence says what to do instead."""
    fill(shelf, True)

    with pytest.raises(ShelfError, match="you-1 is the model in use; `trainer use` another"):
        shelf.remove("you-1")
    with pytest.raises(ShelfError, match="there is no model 'you-2'"):
        shelf.remove("you-2")


def test_pruning_keeps_the_newest_and_all_that_a_rollback_can_reach(shelf: Shelf) -> None:
    """A model with a name of its own stays, whatever its age."""
    fill(shelf, True, True, False, True, False, False, False, False)
    shelf.publish(make_bundle("base-en"))

    assert shelf.prune(keep=2) == ["you-6", "you-5", "you-3"]
    assert [e.id for e in shelf.entries()] == ["base-en", *(f"you-{n}" for n in (1, 2, 4, 7, 8))]
    assert served(shelf) == ("you-4", None)
    assert [shelf.rollback(), shelf.rollback()] == ["you-2", "you-1"]


def test_a_shelf_pruned_after_each_learning_stops_growing(shelf: Shelf) -> None:
    """Ten models, whatever is learned; each of them can be gone back to or is among the newest."""
    for _ in range(13):
        learn(shelf)
        shelf.prune()

    assert [e.id for e in shelf.entries()] == [f"you-{n}" for n in range(4, 14)]
    assert served(shelf) == ("you-13", None)


def test_the_pointer_fits_a_sector_with_the_longest_names(shelf: Shelf) -> None:
    """So that it is written in one piece even where renaming is not atomic."""
    for n in range(12):
        shelf.publish(make_bundle(f"{n:x}" * 32 if n < 10 else f"y{n}" + "z" * 29))
    for entry in shelf.entries():
        shelf.use(entry.id)

    assert (shelf.root / "CURRENT").stat().st_size < 512


# -- damage ------------------------------------------------------------------------------------


def test_a_damaged_model_is_set_aside_and_the_one_before_it_serves(shelf: Shelf) -> None:
    """Told once, in a sentence; nothing is deleted; the next look finds all in order."""
    fill(shelf, True, True)
    damage(shelf, "you-2")
    kept = (shelf.root / "you-2" / "weights.bin").read_bytes()
    id, notice = served(shelf)

    assert id == "you-1"
    assert notice == (
        "you-2 cannot be used (the checksum of weights.bin is wrong, so it was damaged or "
        "edited); you-1 is in use instead"
    )
    assert served(shelf) == ("you-1", None)
    assert [(e.id.split(".")[0], e.problem is None) for e in shelf.entries()] == [
        ("you-1", True),
        ("you-2", False),
    ]
    assert (shelf.root / shelf.entries()[1].id / "weights.bin").read_bytes() == kept
    shelf.remove(shelf.entries()[1].id)
    assert [e.id for e in shelf.entries()] == ["you-1"]


@pytest.mark.parametrize("bit", range(0, 400, 23))
def test_a_damaged_pointer_leads_to_the_newest_sound_model(shelf: Shelf, bit: int) -> None:
    """Which one was in use is lost, but suggestions are not."""
    fill(shelf, True, True, False)
    damage(shelf, "you-3")
    data = bytearray((shelf.root / "CURRENT").read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    (shelf.root / "CURRENT").write_bytes(data)

    assert served(shelf) == ("you-2", "CURRENT is damaged; you-2 is in use instead")
    assert served(shelf) == ("you-2", None)


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [
        ({"history": ["../you-1", "you-2"], "last": 2}, ("you-2", None)),
        ({"history": [1], "last": 2}, ("you-2", "CURRENT is damaged; you-2 is in use instead")),
        ({}, ("you-2", "CURRENT is damaged; you-2 is in use instead")),
    ],
)
def test_a_forged_pointer_leads_nowhere_else(
    pointer: dict[str, Any], expected: tuple[str, str | None], shelf: Shelf
) -> None:
    """Whatever it says, models come from the shelf."""
    fill(shelf, True, True)
    (shelf.root / "CURRENT").write_bytes(bundles.seal({"by": "hand", **pointer}))

    assert served(shelf) == expected


def test_a_damaged_pointer_survives_a_removal(shelf: Shelf) -> None:
    """Written anew without its history, it would say that no model was ever put to use."""
    fill(shelf, True, True, True)
    (shelf.root / "CURRENT").write_bytes(b"?")
    shelf.remove("you-1")

    assert shelf.prune(1) == ["you-2"]
    assert served(shelf) == ("you-3", "CURRENT is damaged; you-3 is in use instead")


class Overtaken(Shelf):
    """A shelf on which another process puts you-1 to use while this one looks at you-3."""

    def load(self, id: str) -> Bundle:
        if id == "you-3":
            Shelf(self.root).use("you-1")
        return super().load(id)


def test_mending_does_not_undo_what_another_process_did_meanwhile(shelf: Shelf) -> None:
    """Who puts a model to use has the last word."""
    fill(shelf, True, True, True)
    damage(shelf, "you-3")

    assert served(Overtaken(shelf.root))[0] == "you-2"
    assert served(shelf) == ("you-1", None)


def test_without_any_sound_model_there_is_a_sentence_and_no_traceback(shelf: Shelf) -> None:
    """The daemon goes on without suggestions and says why."""
    fill(shelf, True)
    damage(shelf, "you-1")
    id, notice = served(shelf)

    assert id is None
    assert str(notice).endswith("; train again, or import a model")


def test_a_model_from_a_newer_afterword_is_left_where_it_is(shelf: Shelf) -> None:
    """After an update it is in use again: the pointer is not touched."""
    fill(shelf, True, True)
    manifest = shelf.root / "you-2" / "manifest.json"
    data = manifest.read_bytes()
    manifest.chmod(0o600)
    manifest.write_bytes(data.replace(b'"format": 1', b'"format": 2'))

    assert served(shelf)[0] == "you-1"
    manifest.write_bytes(data)
    assert served(shelf) == ("you-2", None)


def test_a_folder_under_another_name_is_not_served(shelf: Shelf) -> None:
    """A copy made by hand is no model of its own."""
    fill(shelf, True, False)
    (shelf.root / "you-2").rename(shelf.root / "you-7")

    with pytest.raises(BundleCorruptError, match="the folder holds model you-2"):
        shelf.use("you-7")


@pytest.mark.parametrize("n_free", range(4))
def test_too_many_open_files_cost_no_model(n_free: int, shelf: Shelf) -> None:
    """A model that cannot be read just now is not a damaged one: it stays where it is."""
    fill(shelf, True, True)
    before = crash_disks.tree_of(shelf.root)
    descriptors = [os.open(os.devnull, os.O_RDONLY) for _ in range(n_free + 1)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for descriptor in descriptors:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors[-1], hard))
    try:
        with suppress(StateError):
            shelf.current()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert crash_disks.tree_of(shelf.root) == before
    assert served(shelf) == ("you-2", None)


def test_a_read_only_disk_still_serves(shelf: Shelf, monkeypatch: Any) -> None:
    """What cannot be mended is told again, and suggestions go on."""
    fill(shelf, True, True)
    damage(shelf, "you-2")
    monkeypatch.setattr(durable, "disk", crash_disks.FailingDisk(1, errno.EROFS, for_ever=True))

    assert [served(shelf)[0], served(shelf)[0]] == ["you-1", "you-1"]
    assert served(shelf)[1] is not None


# -- archives ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.tar", "model.tar.gz", "model.tgz"])
def test_an_exported_model_is_imported_under_a_new_name(
    name: str, shelf: Shelf, tmp_path: Path
) -> None:
    """On another machine of one's own it is the same, byte for byte."""
    fill(shelf, True).export("you-1", tmp_path / name, with_excerpts=True)
    other = fill(Shelf(tmp_path / "other"), True, False)

    assert other.import_(tmp_path / name) == "you-3"
    assert served(other) == ("you-1", None)
    for file in ("weights.bin", "step-1.tflite", "history.json"):
        assert (other.root / "you-3" / file).read_bytes() == (
            shelf.root / "you-1" / file
        ).read_bytes()
    assert ((tmp_path / name).read_bytes()[:2] == b"\x1f\x8b") == name.endswith("gz")


def test_an_exported_model_quotes_nothing_of_the_user(shelf: Shelf, tmp_path: Path) -> None:
    """No line, prompt, sample, path or digest leaves, wherever it stands; what it is worth does."""
    secrets = [
        "dear diary",
        "I walked",
        "along the shore",
        "the gulls",
        "~/letters",
        "to-anna",
        "ab12",
    ]
    line, prompt, sample, later, command, folder, digest = secrets
    bundle = replace(
        make_bundle(),
        provenance={
            "command": f"trainer learn {command}",
            "seed": 7,
            "prompts": [prompt],
            "offers": [{"before": line, "offered": later, "written": sample}],
            "corpus": {"digest": "c0", "summary": {"folders": {folder: {"documents": 1}}}},
        },
        history=[{"event": "evaluated", "prompt": prompt, "sample": sample, "heldout_bits": 2.5}],
        documents=[{"digest": digest}],
    )
    shelf.export(shelf.publish(bundle), tmp_path / "model.tar")
    shelf.export("you-1", tmp_path / "whole.tar", with_excerpts=True)
    given, whole = ((tmp_path / name).read_bytes() for name in ("model.tar", "whole.tar"))

    assert [text for text in secrets if text.encode() in given] == []
    assert [text for text in secrets if text.encode() in whole] == secrets
    back = shelf.load(shelf.import_(tmp_path / "model.tar"))
    assert (back.scores, back.digests()) == (bundle.scores, frozenset())
    assert back.history[0]["heldout_bits"] == 2.5
    assert (back.provenance["seed"], back.provenance["corpus"]["digest"]) == (7, "c0")


def test_an_exported_model_is_smaller_and_predicts_the_same(shelf: Shelf, tmp_path: Path) -> None:
    """By its graphs to the last bit, which are the same; by its weights but for the rounding."""
    spec = NetworkSpec(n_symbols=258, units=48, embedding=16)
    random = np.random.default_rng(0)
    weights = {
        name: random.normal(0, 0.3, shape).astype(np.float32)
        for name, shape in spec.weight_shapes().items()
    }
    bundle = replace(make_bundle(), spec=spec, weights=weights)
    shelf.export(shelf.publish(bundle), tmp_path / "model.tar")
    back = shelf.load(shelf.import_(tmp_path / "model.tar"))

    assert (tmp_path / "model.tar").stat().st_size < 0.6 * shelf.entries()[0].size
    assert back.graphs == bundle.graphs
    before, after = (NetworkPredictor(NumpyStep(spec, b.weights)) for b in (bundle, back))
    for symbol in b"What is written next":
        before.observe(symbol)
        after.observe(symbol)
        np.testing.assert_allclose(after.distribution(), before.distribution(), atol=1e-3)


def test_an_archive_made_again_by_tar_is_imported(shelf: Shelf, tmp_path: Path) -> None:
    """People unpack, look and pack again; a folder's own entry does no harm."""
    fill(shelf, True)
    with tarfile.open(tmp_path / "again.tgz", "w:gz", format=tarfile.GNU_FORMAT) as archive:
        archive.add(shelf.root / "you-1", "you-1")

    assert shelf.import_(tmp_path / "again.tgz") == "you-2"


def test_a_damaged_model_is_not_given_away(shelf: Shelf, tmp_path: Path) -> None:
    """An archive holds a sound model or does not come to be."""
    damage(fill(shelf, False), "you-1")

    with pytest.raises(BundleCorruptError):
        shelf.export("you-1", tmp_path / "model.tar")
    assert not (tmp_path / "model.tar").exists()


def pack_tar(*members: tuple[str, bytes], **attributes: Any) -> bytes:
    """A tar of `members`; `attributes` are set on the first one."""
    file = io.BytesIO()
    with tarfile.TarFile(fileobj=file, mode="w") as archive:
        for n, (name, data) in enumerate(members):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            for key, value in attributes.items() if n == 0 else ():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


GOOD = [(f"you-1/{name}", data) for name, data in bundles.pack(make_bundle()).items()]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (pack_tar(("you-1/../../x", b""), *GOOD), "outside the model's folder"),
        (pack_tar(("../you-1/x", b""), *GOOD), "outside the model's folder"),
        (pack_tar(("..", b""), *GOOD), "outside the model's folder"),
        (pack_tar(("/etc/passwd", b""), *GOOD), "outside the model's folder"),
        (pack_tar(("you-1/deep/x", b""), *GOOD), "outside the model's folder"),
        (pack_tar(("you-2/x", b""), *GOOD), "outside the model's folder"),
        (pack_tar(("../x", b""), type=tarfile.DIRTYPE), "a link, a device or the like"),
        (pack_tar(("you-1/x", b""), *GOOD, type=tarfile.SYMTYPE, linkname="/"), "a link"),
        (pack_tar(("you-1/x", b""), *GOOD, type=tarfile.LNKTYPE, linkname="y"), "a link"),
        (pack_tar(("you-1/x", b""), *GOOD, type=tarfile.CHRTYPE), "a device"),
        (pack_tar(("you-1/x", b""), *GOOD, type=tarfile.FIFOTYPE), "or the like"),
        (pack_tar(("you-1/x", b""), *GOOD, type=tarfile.GNUTYPE_SPARSE), "or the like"),
        (pack_tar(("you-1/" + "x" * 300, b""), *GOOD), "or the like"),
        (pack_tar(GOOD[0], *GOOD), "is twice in it"),
        (pack_tar(*((f"you-1/{n}", b"") for n in range(99))), "one too many"),
        (pack_tar(*GOOD)[:1500], "is cut short"),
        (pack_tar(*GOOD)[:700], "is cut short"),
        (pack_tar(*GOOD)[:100], "no archive, or cut short"),
        (gzip.compress(pack_tar(*GOOD))[:-20], "it is cut short or damaged"),
        (gzip.compress(bytes(MAX_ARCHIVE + 1), 1), "unpacked it has more than"),
        (b"PK\x03\x04 a zip", "no archive"),
        (bytes(1024), "no manifest.json"),
        (b"", "no manifest.json"),
        (pack_tar(*GOOD[1:]), "weights.bin is missing"),
        (pack_tar(("you-1/evil.pkl", b""), *GOOD), "evil.pkl is not part of it"),
        (pack_tar(("you-1/weights.bin", b"??"), *GOOD[1:]), "weights.bin has 2 bytes"),
    ],
)
def test_a_foreign_archive_is_refused_in_one_sentence(
    data: bytes, problem: str, shelf: Shelf, tmp_path: Path
) -> None:
    """Nothing is unpacked before everything is checked, and nothing is left behind."""
    (tmp_path / "archive").write_bytes(data)
    fill(shelf, True)
    before = crash_disks.tree_of(tmp_path)

    with pytest.raises((ShelfError, BundleCorruptError), match=problem) as error:
        shelf.import_(tmp_path / "archive")
    assert "\n" not in str(error.value)
    assert str(tmp_path / "archive") in str(error.value)
    assert "rollback" not in str(error.value)
    assert crash_disks.tree_of(tmp_path) == before


def test_an_archive_with_a_size_below_zero_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    """It would make a reader go back and read for ever."""
    header = bytearray(tarfile.TarInfo("you-1/x").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 12  # -1, in the binary form
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "archive").write_bytes(header)

    with pytest.raises(ShelfError, match=r"is cut short|no archive"):
        shelf.import_(tmp_path / "archive")


def test_an_archive_that_is_not_there_is_named(shelf: Shelf, tmp_path: Path) -> None:
    """The path that the user gave, and what is wrong with it."""
    with pytest.raises(StateError, match=r"nowhere\.tar: there is no such file"):
        shelf.import_(tmp_path / "nowhere.tar")


# -- power cuts --------------------------------------------------------------------------------


def learn(shelf: Shelf) -> None:
    """What ends every training: a new model, put to use."""
    shelf.use(shelf.publish(make_bundle(shelf.next_id())))


def crashes(
    shelf: Shelf,
    action: Callable[[Shelf], object],
    tmp_path: Path,
    monkeypatch: Any,
    expected: tuple[str | None, str],
    **forgets: Any,
) -> Iterator[str | None]:
    """For each disk that a power cut in `action` can leave: what is wrong there, if anything.

    Right is: of the models `expected`, before and after, one is in use, whole and without a word
    of trouble; the latter if the action had returned; no leftovers; a second recovery finds
    nothing to do; and the next model can be published and put to use.
    """
    home = shelf.root if shelf.root.exists() else shelf.root.parents[1]
    below = shelf.root.relative_to(home)
    before = crash_disks.tree_of(home)
    disk = crash_disks.RecordingDisk(home, **forgets)
    monkeypatch.setattr(durable, "disk", disk)
    action(shelf)
    monkeypatch.setattr(durable, "disk", crash_disks.QuickDisk())

    for n, (tree, is_done) in enumerate(crash_disks.crash_disks(before, disk.log)):
        crash_disks.write_tree(tree, tmp_path / f"disk-{n}")
        found = Shelf(tmp_path / f"disk-{n}" / below)
        id, notice = served(found)
        if notice or id not in (expected[1:] if is_done else expected):
            yield notice or f"{id} is in use"
            continue
        found.prune(keep=9)
        recovered = crash_disks.tree_of(found.root)
        again = served(found)
        found.prune(keep=9)
        if again != (id, None) or crash_disks.tree_of(found.root) != recovered:
            yield "the second recovery was no no-op"
        elif leftovers(found) or any(entry.problem for entry in found.entries()):
            yield "not everything is whole"
        else:
            learn(found)
            yield served(found)[1]


def leftovers(shelf: Shelf) -> list[str]:
    """What is neither a model, nor the pointer, nor the lock."""
    return [path.name for path in shelf.root.iterdir() if "." in path.name[1:]]


def test_after_a_cut_the_old_model_serves_or_the_new(
    shelf: Shelf, tmp_path: Path, monkeypatch: Any
) -> None:
    """At any moment of publishing and putting to use."""
    fill(shelf, True)
    wrong = list(crashes(shelf, learn, tmp_path, monkeypatch, ("you-1", "you-2")))

    assert set(wrong) == {None}
    assert len(wrong) > 100


def test_after_a_cut_in_the_first_learning_there_is_the_model_or_none(
    tmp_path: Path, monkeypatch: Any
) -> None:
    """The folders above are new as well, and their names must not vanish."""
    (tmp_path / "home").mkdir()
    shelf = Shelf(tmp_path / "home" / "data" / "models")
    wrong = list(crashes(shelf, learn, tmp_path, monkeypatch, (None, "you-1")))

    assert set(wrong) == {None}
    assert len(wrong) > 100


@pytest.mark.parametrize(
    ("action", "after"),
    [
        (Shelf.rollback, "you-2"),
        (lambda shelf: shelf.use("you-1"), "you-1"),
        (lambda shelf: shelf.remove("you-1"), "you-3"),
        (lambda shelf: shelf.prune(1), "you-3"),
        pytest.param(lambda shelf: (learn(shelf), shelf.prune(1)), "you-5", marks=pytest.mark.slow),
    ],
    ids=["rollback", "use", "remove", "prune", "learn and prune"],
)
def test_after_a_cut_in_other_changes_a_whole_model_serves(
    action: Callable[[Shelf], object],
    after: str,
    shelf: Shelf,
    tmp_path: Path,
    monkeypatch: Any,
) -> None:
    """No change of the shelf has a moment at which a cut costs a model."""
    fill(shelf, False, True, True, False)
    wrong = list(crashes(shelf, action, tmp_path, monkeypatch, ("you-3", after)))

    assert set(wrong) == {None}
    assert len(wrong) >= 7


@pytest.mark.parametrize(
    "forgets",
    [
        lambda operation, path: operation == "sync" and path.name == "weights.bin",
        lambda operation, path: operation == "sync" and path.name.startswith("CURRENT"),
        lambda operation, path: operation == "sync_folder" and path.name.endswith(".tmp"),
        lambda operation, path: operation == "sync_folder" and path.name == "models",
    ],
    ids=["weights", "pointer", "names in the model", "names on the shelf"],
)
def test_a_forgotten_sync_is_found(
    forgets: Callable[[str, Path], bool], shelf: Shelf, tmp_path: Path, monkeypatch: Any
) -> None:
    """Each sync has its reason: without it, some cut costs a model. The tests above can fail."""
    fill(shelf, True)

    assert any(crashes(shelf, learn, tmp_path, monkeypatch, ("you-1", "you-2"), forgets=forgets))


# -- failing calls -----------------------------------------------------------------------------


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EMFILE])
def test_whichever_call_fails_a_whole_model_serves(
    code: int, for_ever: bool, shelf: Shelf, monkeypatch: Any
) -> None:
    """Every n-th call of publishing, putting to use and removing, one after another."""
    fill(shelf, True)
    for nth in range(1, 200):
        disk = crash_disks.FailingDisk(nth, code, for_ever=for_ever)
        monkeypatch.setattr(durable, "disk", disk)
        before, wanted = served(shelf)[0], shelf.next_id()
        with suppress(StateError):
            shelf.use(shelf.publish(make_bundle(wanted)))
            shelf.remove(str(before))
        assert served(shelf) in ((before, None), (wanted, None))

        monkeypatch.setattr(durable, "disk", crash_disks.QuickDisk())
        shelf.prune(2)
        assert leftovers(shelf) == []
        assert [entry.problem for entry in shelf.entries() if entry.problem] == []
        if not disk.has_failed:
            break
    assert nth > 20
    assert not disk.has_failed


# -- other processes ---------------------------------------------------------------------------


def start(script: str, *arguments: object, **environ: str) -> subprocess.Popen[str]:
    head = (
        "import sys; from pathlib import Path; from afterword_trainer import durable;"
        "from afterword_trainer.shelf import Shelf; shelf = Shelf(Path(sys.argv[1]))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", head + script, *map(str, arguments)],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


LIFE = """
new = shelf.import_(Path(sys.argv[2]))
shelf.use(new)
shelf.remove('you-2')
durable.append(shelf.root.parent / 'ledger', b'learned')
durable.set_aside(shelf.root.parent / 'odd')
"""


@pytest.mark.slow
@pytest.mark.parametrize("point", list(Failpoint), ids=lambda point: point.value)
def test_killed_at_any_moment_a_whole_model_serves(
    point: Failpoint, shelf: Shelf, tmp_path: Path
) -> None:
    """SIGKILL at each failpoint, then a new process as if nothing had been."""
    fill(shelf, True, False).export("you-2", tmp_path / "new.tar")
    (shelf.root.parent / "odd").write_bytes(b"?")
    killed = start(
        LIFE, shelf.root, tmp_path / "new.tar", AFTERWORD_FAILPOINT=f"{point.value}:kill"
    )
    assert (killed.wait(), killed.communicate()) == (-9, ("", ""))

    assert served(shelf) in (("you-1", None), ("you-3", None))
    shelf.prune(9)
    assert leftovers(shelf) == []
    assert [entry.problem for entry in shelf.entries()] in ([None], [None] * 2, [None] * 3)
    records, n_damaged = durable.read_records(shelf.root.parent / "ledger")
    assert (records, n_damaged) in (([], 0), ([b"learned"], 0))
    assert len(list(shelf.root.parent.glob("odd*"))) == 1
    learn(shelf)
    assert served(shelf)[1] is None


@pytest.mark.slow
def test_two_processes_that_put_to_use_at_once_leave_one_model(shelf: Shelf) -> None:
    """One wins; whoever looks meanwhile sees one of them, whole, each time."""
    fill(shelf, True, False)
    script = "for _ in range(40): shelf.use(sys.argv[2])"
    both = [start(script, shelf.root, id) for id in ("you-1", "you-2")]
    seen = set()
    while any(process.poll() is None for process in both):
        seen.add(served(shelf))

    assert [(p.returncode, *p.communicate()) for p in both] == [(0, "", "")] * 2
    assert seen <= {("you-1", None), ("you-2", None)}
    assert served(shelf) in seen


def test_a_change_waits_for_the_lock_but_not_for_ever(shelf: Shelf, monkeypatch: Any) -> None:
    """And says who holds it; looking needs no lock."""
    fill(shelf, True)
    monkeypatch.setattr("afterword_trainer.shelf.LOCK_WAIT_S", 0.0)

    with durable.locked(shelf.root / ".lock"):
        with pytest.raises(durable.LockedError, match=f"process {os.getpid()}"):
            shelf.use("you-1")
        assert served(shelf) == ("you-1", None)


def test_a_bundle_made_with_another_date_is_another_model(shelf: Shelf) -> None:
    """Dates, scores and provenance come back through the disk as they went in."""
    bundle = replace(make_bundle(), created="2032-02-29T23:59:59Z", provenance={"seed": 7})
    loaded = shelf.load(shelf.publish(bundle))

    assert (loaded.created, loaded.provenance) == ("2032-02-29T23:59:59Z", {"seed": 7})
