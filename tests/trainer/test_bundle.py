import hashlib
import json
import os
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from afterword_trainer.model import bundle as bundles
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.bundle import (
    Bundle,
    BundleCorruptError,
    BundleError,
    BundleMissingError,
    BundleVersionError,
    load,
    pack,
    remembered,
    require_fits,
    seal,
    unpack,
    unseal,
    without_excerpts,
)
from afterword_trainer.model.spec import CELLS, NetworkSpec
from hypothesis import given, settings
from hypothesis import strategies as st

GRAPH = b"\x1c\0\0\0TFL3 and so on"


def make_bundle(characters: str = "é😀", seed: int = 0, **spec: Any) -> Bundle:
    alphabet = Alphabet(characters)
    shape = NetworkSpec(n_symbols=alphabet.size, **{"units": 2, "embedding": 1, **spec})
    random = np.random.default_rng(seed)
    return Bundle(
        id="you-1",
        created="2031-01-31T12:00:00Z",
        spec=shape,
        alphabet=alphabet,
        weights={
            name: random.normal(0, 0.5, size).astype(np.float32)
            for name, size in shape.weight_shapes().items()
        },
        graphs={1: GRAPH, 8: GRAPH + b"!"},
        scores={"heldout_bits": 1.75},
        provenance={"seed": seed, "parent": None},
        history=[{"event": "finished", "seconds": 2.5, "reason": "planned"}],
        documents=[{"path": "notes/é.md", "characters": 12}],
    )


def write(files: Mapping[str, bytes], folder: Path) -> Path:
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


# -- what goes in comes out --------------------------------------------------------------------

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Two lone surrogates side by side would come back as one character.
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@settings(max_examples=60)
@given(
    cell=st.sampled_from(CELLS),
    layers=st.integers(1, 3),
    units=st.integers(1, 4),
    embedding=st.integers(1, 3),
    dropout=st.sampled_from([0, 0.0, 0.25]),
    characters=st.lists(st.characters(min_codepoint=128), unique=True, max_size=6).map("".join)
    | st.just("😀👩🏽é\ud83d\ude00"),
    history=st.lists(st.dictionaries(st.text(max_size=4), json_values, max_size=3), max_size=3),
    provenance=st.dictionaries(st.text(max_size=4), json_values, max_size=3),
    dtype=st.sampled_from(["float32", "float16"]),
    seed=st.integers(0, 9),
)
def test_a_bundle_comes_back_as_it_was(
    cell: str,
    layers: int,
    units: int,
    embedding: int,
    dropout: float,
    characters: str,
    history: list[dict[str, Any]],
    provenance: dict[str, Any],
    dtype: Any,
    seed: int,
) -> None:
    """Any spec, any alphabet, emoji and lone surrogates included; float16 rounds, no more."""
    spec = {"cell": cell, "layers": layers, "units": units, "embedding": embedding}
    whole = make_bundle(characters, seed, dropout=dropout, **spec)
    bundle = replace(whole, history=history, provenance=provenance)
    files = pack(bundle, dtype)
    back = unpack(files, "here")

    assert (back.id, back.created, back.spec) == (bundle.id, bundle.created, bundle.spec)
    assert back.alphabet == bundle.alphabet
    assert (back.graphs, back.scores) == (bundle.graphs, bundle.scores)
    assert (back.provenance, list(back.history)) == (provenance, history)
    assert list(back.documents) == list(bundle.documents)
    for name, weight in bundle.weights.items():
        np.testing.assert_array_equal(back.weights[name], weight.astype(dtype).astype(np.float32))
    assert pack(back, dtype) == files
    assert list(files)[-1] == "manifest.json"


def test_a_folder_is_loaded_without_any_framework(tmp_path: Path) -> None:
    """The daemon loads models where TensorFlow is absent, and LiteRT comes only with a step."""
    folder = write(pack(make_bundle()), tmp_path / "you-1")
    script = (
        "import sys; from pathlib import Path; from afterword_trainer.model import bundle;"
        "print(bundle.load(Path(sys.argv[1])).id);"
        "print([m for m in sys.modules if m.split('.')[0] in"
        " ('tensorflow', 'keras', 'ai_edge_litert')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, folder], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines() == ["you-1", "[]"]


def test_another_id_leaves_all_else_as_it_was() -> None:
    """An imported model gets a name of this shelf; its weights are not touched."""
    files = pack(make_bundle(), "float16")
    renamed = bundles.with_id(files, "you-9")

    assert unpack(renamed, "here").id == "you-9"
    assert {k: v for k, v in renamed.items() if k != "manifest.json"} == {
        k: v for k, v in files.items() if k != "manifest.json"
    }


def test_hidden_files_of_file_managers_do_no_harm(tmp_path: Path) -> None:
    """A Finder that looks into the folder leaves .DS_Store, and the model goes on working."""
    folder = write(pack(make_bundle()), tmp_path / "you-1")
    (folder / ".DS_Store").write_bytes(b"\0")

    assert load(folder).id == "you-1"


def test_a_model_knows_what_it_has_learned() -> None:
    """By digest; what a stranger's bundle has instead of one is passed over."""
    odd = [{"digest": None}, {"digest": []}, {"path": "x"}]
    bundle = replace(make_bundle(), documents=[{"digest": "a"}, {"digest": "b"}, *odd])

    assert bundle.digests() == {"a", "b"}


def test_each_document_is_remembered_once_and_the_newest_fit_a_bundle() -> None:
    """A model that goes on learning the same files for a year can still be kept."""
    digests = [f"{n % 70_000:016x}" for n in range(140_000)]
    kept = remembered({"digest": digest} for digest in digests)

    assert [d["digest"] for d in kept] == digests[-bundles.MAX_DOCUMENTS :]
    assert unpack(pack(replace(make_bundle(), documents=kept)), "here").documents == tuple(kept)


json_texts = json_values | st.just("a line of the user's")


@given(st.dictionaries(st.sampled_from(["seed", *sorted(bundles.EXCERPTS)]), json_texts))
def test_excerpts_are_left_out_wherever_they_stand(provenance: dict[str, Any]) -> None:
    """The keys stay, each with nothing of the same kind under it, so that reports can be drawn."""
    nested = {"corpus": {"summary": [provenance]}, **provenance}
    bundle = replace(make_bundle(), provenance=nested, history=[{"event": "x", **provenance}])
    bare = without_excerpts(bundle)

    for found in (bare.provenance, bare.provenance["corpus"]["summary"][0], bare.history[0]):
        for key, value in provenance.items():
            assert found[key] == (value if key == "seed" else type(value)())
    assert (bare.documents, bare.scores, bare.graphs) == ((), bundle.scores, bundle.graphs)
    assert unpack(pack(bare), "here").provenance == bare.provenance


# -- what is damaged is found ------------------------------------------------------------------

FILES = pack(make_bundle())


@settings(max_examples=400)
@given(name=st.sampled_from(sorted(FILES)), where=st.floats(0, 1, exclude_max=True))
def test_a_flipped_bit_is_found_wherever_it_is(name: str, where: float) -> None:
    """Every bit of every file is covered by a checksum, the manifest's own bits too."""
    bit = int(where * 8 * len(FILES[name]))
    data = bytearray(FILES[name])
    data[bit // 8] ^= 1 << bit % 8

    with pytest.raises(BundleError):
        unpack({**FILES, name: bytes(data)}, "here")


@pytest.mark.slow
def test_every_bit_of_the_manifest_is_covered() -> None:
    """All of them, not a sample: the manifest is the one file that nothing else vouches for."""
    manifest = FILES["manifest.json"]
    for bit in range(8 * len(manifest)):
        data = bytearray(manifest)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BundleError):
            unpack({**FILES, "manifest.json": bytes(data)}, "here")


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.999])
def test_a_truncated_file_is_named(name: str, keep: float, tmp_path: Path) -> None:
    """The error says which file, and what to do."""
    folder = write(FILES, tmp_path / "you-1")
    os.truncate(folder / name, int(keep * len(FILES[name])))

    with pytest.raises(BundleCorruptError) as error:
        load(folder)
    assert str(error.value).startswith(f"{folder}: ")
    assert name in str(error.value)
    assert "trainer rollback" in str(error.value)


def test_a_missing_folder_is_missing_rather_than_damaged(tmp_path: Path) -> None:
    """Nothing there is set aside, and the list of models is what helps."""
    with pytest.raises(BundleMissingError, match=r"no model; `trainer models`"):
        load(tmp_path / "you-7")


def _symlink(folder: Path) -> None:
    (folder / "weights.bin").rename(folder.parent / "elsewhere")
    (folder / "weights.bin").symlink_to(folder.parent / "elsewhere")


def _pipe(folder: Path) -> None:
    (folder / "weights.bin").unlink()
    os.mkfifo(folder / "weights.bin")


def _socket(folder: Path) -> None:
    (folder / "weights.bin").unlink()
    here = Path.cwd()
    os.chdir(folder)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("weights.bin")
    os.chdir(here)


def _sparse(folder: Path) -> None:
    os.truncate(folder / "weights.bin", 1 << 40)


def _many(folder: Path) -> None:
    for n in range(100):
        (folder / f"more-{n}").write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda folder: (folder / "history.json").unlink(), "history.json is missing"),
        (lambda folder: (folder / "manifest.json").unlink(), "there is no manifest.json"),
        (lambda folder: (folder / "evil.pkl").write_bytes(b"x"), "evil.pkl is not part of it"),
        (lambda folder: (folder / "weights.bin").chmod(0) or _pipe(folder), "not a regular file"),
        (lambda folder: (folder / "evil").mkdir(), "not a regular file"),
        (_symlink, "a link or a socket"),
        (_socket, "a link or a socket"),
        (_sparse, "1099511627776 bytes are too many"),
        (_many, "106 files are too many"),
    ],
)
def test_a_folder_of_odd_files_is_refused(
    damage: Callable[[Path], object], problem: str, tmp_path: Path
) -> None:
    """Plain files, those of the manifest and no others; nothing blocks and nothing is followed."""
    folder = write(FILES, tmp_path / "you-1")
    damage(folder)

    with pytest.raises(BundleCorruptError, match=problem):
        load(folder)


def test_a_link_to_a_folder_and_a_file_are_no_models(tmp_path: Path) -> None:
    """A model lies where it was published, and nowhere else."""
    folder = write(FILES, tmp_path / "you-1")
    (tmp_path / "you-2").symlink_to(folder)
    (tmp_path / "you-3").write_bytes(b"")

    for name in ("you-2", "you-3"):
        with pytest.raises(BundleCorruptError, match="not a folder"):
            load(tmp_path / name)


# -- what a stranger may send, with every checksum right ----------------------------------------


def forge(**changes: Any) -> dict[str, bytes]:
    """The files of a sound bundle with other values in the manifest, sealed anew."""
    return {**FILES, "manifest.json": seal({**unseal(FILES["manifest.json"]), **changes})}


def forge_file(name: str, data: bytes) -> dict[str, bytes]:
    """The files with other bytes in one of them, its size and checksum right."""
    written = unseal(FILES["manifest.json"])["files"]
    written[name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return {**forge(files=written), name: data}


def _weights_with(value: float) -> bytes:
    weights = np.frombuffer(FILES["weights.bin"], "<f4").copy()
    weights[7] = value
    return weights.tobytes()


SPEC = unseal(FILES["manifest.json"])["spec"]
WEIGHTS = unseal(FILES["manifest.json"])["weights"]


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (forge(format=0), "no format"),
        (forge(format="1"), "no format"),
        (forge(format=True), "no format"),
        (forge(id="../../etc"), "its id"),
        (forge(id=7), "string"),
        (forge(created="yesterday"), "its date"),
        (forge(spec={**SPEC, "layers": 2**63}), "layers 9223372036854775808 is not within"),
        (forge(spec={**SPEC, "units": 8192}), "weight layer0.kernel has another shape"),
        (forge(spec={**SPEC, "layers": 2.0}), "spec is not one"),
        (forge(spec={**SPEC, "layers": True}), "spec is not one"),
        (forge(spec={**SPEC, "heads": 2}), "heads"),
        (forge(spec={"n_symbols": SPEC["n_symbols"]}), "spec is not one"),
        (forge(spec=[]), "mapping"),
        (forge(alphabet=["é"]), "in its alphabet"),
        (forge(alphabet=["é", "é"]), "each character once"),
        (forge(alphabet=7), "iter"),
        (forge(weights={}), "embedding"),
        (forge(weights={**WEIGHTS, "more": {}}), "weights.bin"),
        (forge(weights={**WEIGHTS, "embedding": {"dtype": "object", "shape": [260, 1]}}), "object"),
        (forge(weights={**WEIGHTS, "embedding": {"dtype": "float32", "shape": [-1]}}), "shape"),
        (forge(graphs=[1]), "step-8.tflite is not part of it"),
        (forge(graphs=[1, 8, 9]), "step-9.tflite is missing"),
        (forge(graphs=[1, "../8"]), "tflite"),
        (forge(scores={"bits": "low"}), "score"),
        (forge(files={}), "names other files"),
        (forge_file("step-1.tflite", b"PK\x03\x04 and so on"), "step-1.tflite is not a LiteRT"),
        (forge_file("step-8.tflite", b""), "step-8.tflite is not a LiteRT"),
        (forge_file("weights.bin", _weights_with(np.nan)), "weight embedding is not finite"),
        (forge_file("weights.bin", _weights_with(np.inf)), "weight embedding is not finite"),
        (forge_file("weights.bin", _weights_with(-1000)), "weight embedding is not finite"),
        (forge_file("weights.bin", FILES["weights.bin"] + bytes(4)), "holds"),
        (forge_file("weights.bin", FILES["weights.bin"][:-4]), "output.bias"),
        (forge_file("history.json", b"{}"), "list of records"),
        (forge_file("history.json", b"[NaN]"), "history.json is cut short, or no JSON"),
        (forge_file("history.json", b"[" * 10_000 + b"]" * 10_000), "too deep"),
        (forge_file("history.json", b"[" * 40 + b"]" * 40), "too deep"),
        ({**FILES, "manifest.json": b'{"a":' * 10_000 + b"1" + b"}" * 10_000}, "too deep"),
        ({**FILES, "manifest.json": b" " * (1 << 21)}, "manifest.json has 2097152 bytes"),
        ({**FILES, "manifest.json": b"[]"}, "list"),
        ({**FILES, "manifest.json": b"\xff\xfe"}, "no JSON"),
        ({**FILES, "manifest.json": b'{"format": 1}'}, "checksum of manifest.json"),
        ({**FILES, "manifest.json": b'{"name": "something-else"}'}, "format"),
        (
            {**FILES, "manifest.json": b'{"format": ' + b"9" * 5000 + b"}"},
            "no JSON|too deep|manifest",
        ),
    ],
)
def test_a_forged_bundle_is_refused(files: dict[str, bytes], problem: str) -> None:
    """Checksums prove nothing about intentions: every value is checked as well."""
    with pytest.raises(BundleCorruptError, match=problem):
        unpack(files, "here")


def test_a_hostile_bundle_takes_little_memory() -> None:
    """JSON grows when it is read, this the most; more than the limit is not read at all."""
    documents = b"[" + (2**21 // 7 - 1) * b'{"":1},' + b"{}]"
    tracemalloc.start()
    unpack(forge_file("documents.json", documents), "here")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 100e6
    with pytest.raises(BundleCorruptError, match=r"documents\.json has 2097155 bytes"):
        unpack(forge_file("documents.json", documents + b" " * (2**21 + 3 - len(documents))), "")
    with pytest.raises(BundleCorruptError, match=r"history\.json has 1048577 bytes"):
        unpack(forge_file("history.json", b" " * (2**20 + 1)), "here")


def test_an_edited_manifest_is_noticed() -> None:
    """A better score by hand is no better score."""
    edited = FILES["manifest.json"].replace(b"1.75", b"1.05")

    with pytest.raises(BundleCorruptError, match=r"checksum of manifest\.json is wrong"):
        unpack({**FILES, "manifest.json": edited}, "here")


def test_a_newer_format_asks_for_an_update() -> None:
    """Whatever else a later format changes, this much can be said about it."""
    files = {"manifest.json": json.dumps({"format": 2, "shards": [1]}).encode(), "shard": b""}

    with pytest.raises(BundleVersionError, match=r"format 2, .* reads 1; update Afterword"):
        unpack(files, "here")


# -- what is never made ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"id": "You 1"},
        {"id": ""},
        {"id": "y" * 33},
        {"created": "2031-01-31 12:00"},
        {"alphabet": Alphabet("é")},
        {"weights": {}},
        {"graphs": {1: b"not a graph"}},
        {"graphs": {0: GRAPH}},
    ],
)
def test_a_bundle_that_could_not_be_served_cannot_be_made(change: dict[str, Any]) -> None:
    """What is wrong is found where it is made rather than where it is loaded."""
    with pytest.raises(BundleCorruptError):
        replace(make_bundle(), **change)


def test_a_diverged_network_makes_no_bundle() -> None:
    """NaN in a single weight is one sentence, and the model before stays."""
    bundle = make_bundle()
    weights = {name: weight.copy() for name, weight in bundle.weights.items()}
    weights["output.bias"][3] = np.nan

    with pytest.raises(BundleCorruptError, match=r"weight output\.bias is not finite"):
        replace(bundle, weights=weights)


def test_a_network_too_large_for_a_bundle_is_refused_with_a_remedy() -> None:
    """64 MiB of weights is the most that is read, so no more is written."""
    spec = NetworkSpec(n_symbols=258, layers=1, units=2100, embedding=1)  # 4 * 2100 * 2100 weights
    weights = {name: np.zeros(shape, np.float32) for name, shape in spec.weight_shapes().items()}
    bundle = replace(make_bundle(), spec=spec, alphabet=Alphabet(), weights=weights)

    with pytest.raises(
        BundleError, match=r"weights\.bin would have 72,796,464 bytes.* fewer units"
    ):
        pack(bundle)
    assert len(pack(bundle, "float16")["weights.bin"]) < 64 << 20


def test_a_network_too_large_is_known_before_it_is_trained() -> None:
    """The shape, what it takes, what there is, and which options to change."""
    require_fits(NetworkSpec(n_symbols=258, layers=2, units=1024))
    with pytest.raises(BundleError) as error:
        require_fits(NetworkSpec(n_symbols=258, layers=8, units=4096))

    assert str(error.value) == (
        "LSTM 8 × 4096: its weights take 4,039,804,936 bytes in float32, and 67,108,864 are the "
        "most; use fewer --units or --layers"
    )


def test_the_largest_network_that_fits_can_be_packed_and_read() -> None:
    """Its graphs included, which hold each weight in one byte."""
    spec = NetworkSpec(n_symbols=258, layers=1, units=1950, embedding=16)
    require_fits(spec)
    weights = {name: np.zeros(shape, np.float32) for name, shape in spec.weight_shapes().items()}
    graph = GRAPH + bytes(spec.n_parameters())
    bundle = replace(
        make_bundle(), spec=spec, alphabet=Alphabet(), weights=weights, graphs={1: graph, 8: graph}
    )

    assert unpack(pack(bundle), "here").spec == spec
    with pytest.raises(BundleError, match=r"it would have .* 134,217,728 are the most"):
        pack(replace(bundle, graphs=dict.fromkeys(range(1, 6), graph)))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (NetworkSpec(n_symbols=258), "LSTM 2 × 512"),
        (NetworkSpec(n_symbols=258, cell="gru", layers=1, units=64), "GRU 1 × 64"),
    ],
)
def test_a_shape_is_read_as_people_write_it(spec: NetworkSpec, expected: str) -> None:
    """The same words in errors, tables and the report."""
    assert str(spec) == expected


@pytest.mark.parametrize("change", [{"scores": {"bits": np.inf}}, {"history": [{"bits": np.nan}]}])
def test_what_json_cannot_say_is_one_sentence(change: dict[str, Any]) -> None:
    """A score that is no number is no traceback."""
    with pytest.raises(BundleError, match=r"model 'you-1': it cannot be written as JSON"):
        pack(replace(make_bundle(), **change))
