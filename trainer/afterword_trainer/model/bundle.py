"""A finished model as a folder: manifest, weights, serving graphs, history. Written once.

Knows names, bytes and what must be true of them; knows nothing of where bundles are kept or how
they are written (`shelf` and `durable` do), and imports no framework. A bundle may come from a
stranger, so nothing of it is used before all of it is checked: plain JSON and raw arrays whose
shapes follow from the spec; no pickle, no archive, no code.

    manifest.json     what the model is; size and SHA-256 of each other file; its own checksum
    weights.bin       the arrays of `NetworkSpec.weight_shapes` one after another, little-endian
    step-N.tflite     the LiteRT graph of one step for N streams
    history.json      what training said while it went on
    documents.json    what was learned

    BundleError             a sentence for the user: where, what is wrong, what to do
    + BundleMissingError    there is nothing
    + BundleVersionError    written by a newer Afterword
    + BundleCorruptError    damaged, edited, or no bundle at all
"""

import errno
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.spec import NetworkSpec

FORMAT = 1
MANIFEST = "manifest.json"
MAX_BYTES = 128 << 20  # of a whole bundle
MAX_FILES = 16
MAX_DOCUMENTS = 24_576  # remembered as learned; few people have written as many files
ID = re.compile("[a-z0-9][a-z0-9-]{0,31}")

Json = dict[str, Any]


class BundleError(Exception):
    """A bundle cannot be read or made; `problem` is the middle of the sentence."""

    def __init__(self, origin: str, problem: str, remedy: str) -> None:
        super().__init__(f"{origin}: {problem}; {remedy}")
        self.problem = problem


class BundleMissingError(BundleError):
    """There is no bundle there."""


class BundleVersionError(BundleError):
    """The bundle was written by a newer Afterword."""


class BundleCorruptError(BundleError):
    """What is there is not a whole bundle."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bundle:
    """A model that can be served. Raises BundleCorruptError for one that cannot."""

    id: str  # such as "you-3": lower-case letters, digits and hyphens, at most 32
    created: str  # ISO 8601 in UTC: 2031-01-31T12:00:00Z
    spec: NetworkSpec
    alphabet: Alphabet
    weights: Mapping[str, NDArray[np.float32]]  # names and shapes of spec.weight_shapes()
    graphs: Mapping[int, bytes] = field(default_factory=dict)  # LiteRT, by number of streams
    scores: Mapping[str, float] = field(default_factory=dict)  # such as bits per character
    provenance: Json = field(default_factory=dict)  # parent, seed, recipe, digest of the corpus
    history: Sequence[Json] = ()  # what training said, as `records.to_json` has it
    documents: Sequence[Json] = ()  # what was read, oldest first; see `document`

    def __post_init__(self) -> None:
        for problem in _problems(self):
            raise BundleCorruptError(f"model {self.id!r}", problem, "train again")

    def digests(self) -> frozenset[str]:
        """Of the documents that it has learned."""
        return frozenset(_digests(d for d in self.documents if not d.get("held")))

    def learned_ids(self) -> frozenset[str]:
        """Numbers of the files of which it has learned something, as far as that is known."""
        return frozenset(d["id"] for d in self.documents if "id" in d and not d.get("held"))

    def lineage(self) -> frozenset[str] | None:
        """Numbers of the files that it, or a model it came from, has seen.

        Files that were only kept back count: scores, prompts and the choice of the weights came
        from them. None if nobody knows: before files had numbers, in a model from elsewhere, and
        where the list was cut.
        """
        ids = [document.get("id") for document in self.documents]
        if not ids or len(ids) >= MAX_DOCUMENTS or not all(isinstance(id, str) for id in ids):
            return None
        return frozenset(id for id in ids if isinstance(id, str))


def require_fits(spec: NetworkSpec) -> None:
    """Raise BundleError for a network too large to be kept, before any time goes into it."""
    n_bytes = spec.n_parameters() * DTYPES["float32"].itemsize
    if n_bytes > _limit(WEIGHTS):
        problem = f"its weights take {n_bytes:,} bytes in float32, and {_limit(WEIGHTS):,} are"
        raise BundleError(str(spec), f"{problem} the most", "use fewer --units or --layers")


def document(digest: str, *, id: str = "", characters: int = 0, held: bool = False) -> Json:
    """What a bundle remembers of a text that it was made from.

    `digest` is that of the first `characters` of the file `id`, which were learned; or, `held`, of
    the rest, which was kept back.
    """
    value: Json = {"digest": digest}
    if id:
        value["id"] = id
    if characters:
        value["characters"] = characters
    if held:
        value["held"] = True
    return value


def remembered(documents: Iterable[Json]) -> list[Json]:
    """Of `documents`, oldest first, what a bundle holds: the newest, each once.

    Of a file what was said of it last, and of text without a file each digest.
    """
    kept: dict[tuple[str, bool], Json] = {}
    for value in documents:
        if isinstance(value.get("digest"), str):
            key = (str(value.get("id") or value["digest"]), bool(value.get("held")))
            kept.pop(key, None)
            kept[key] = value
    return list(kept.values())[-MAX_DOCUMENTS:]


def without_excerpts(bundle: Bundle) -> Bundle:
    """The same model with nothing beside it that quotes the user or tells what was read.

    Left out are lines and prompts, samples, the command with its paths, names of folders, and
    digests, by which somebody who has a document could find that it was learned. The digest of
    the corpus as a whole stays, since only who has all of it can tell. Scores and figures stay.
    """
    return replace(
        bundle,
        provenance=_emptied(bundle.provenance),
        history=_emptied(list(bundle.history)),
        documents=(),
    )


def load(folder: Path) -> Bundle:
    """The bundle in `folder`, every byte of it checked. Raises BundleError."""
    return unpack(read(folder), str(folder))


def pack(
    bundle: Bundle, weights_dtype: Literal["float32", "float16"] = "float32"
) -> dict[str, bytes]:
    """The files of a bundle by name, the manifest last. Raises BundleError if one is too large.

    float32 by default, so that training can go on from exactly these weights; float16 halves a
    model that is given away.
    """
    try:
        files = _files(bundle, weights_dtype)
    except ValueError as error:  # infinity in a record, for one
        problem = f"it cannot be written as JSON ({error})"
        raise BundleError(f"model {bundle.id!r}", problem, "train again") from error
    sizes = {name: (len(data), _limit(name)) for name, data in files.items()}
    sizes["it"] = (sum(map(len, files.values())), MAX_BYTES)
    for name, (size, limit) in sizes.items():
        if size > limit:
            raise BundleError(
                f"model {bundle.id!r}",
                f"{name} would have {size:,} bytes, and {limit:,} are the most",
                "train with fewer units or layers, or on less at a time",
            )
    return files


def with_id(files: Mapping[str, bytes], new_id: str) -> dict[str, bytes]:
    """The files of a sound bundle under another id, its weights left as they are."""
    others = {name: data for name, data in files.items() if name != MANIFEST}
    return {**others, MANIFEST: seal({**unseal(files[MANIFEST]), "id": new_id})}


def read(folder: Path) -> dict[str, bytes]:
    """The files of a folder by name, as they are: plain ones, no more than a bundle has.

    Hidden ones are passed over: file managers and NFS leave theirs. Raises BundleError.
    """
    try:
        # Through one descriptor, so that all files are of one folder whatever is renamed
        # meanwhile. No link is followed.
        inside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise BundleMissingError(
            str(folder), "there is no model", "`trainer models` lists those that there are"
        ) from None
    except OSError as error:
        raise _unreadable(folder, error) from error
    try:
        try:
            with os.scandir(inside) as found:
                names = sorted(entry.name for entry in found if not entry.name.startswith("."))
        except OSError as error:
            raise _unreadable(folder, error) from error
        if len(names) > MAX_FILES:
            problem = f"{len(names)} files are too many for a model"
            raise BundleCorruptError(str(folder), problem, REMEDY)
        files: dict[str, bytes] = {}
        for name in names:
            left = MAX_BYTES - sum(map(len, files.values()))
            try:
                files[name] = _read_file(name, inside, left)
            except OSError as error:
                raise _unreadable(folder / name, error) from error
            except ValueError as error:
                raise BundleCorruptError(str(folder / name), str(error), REMEDY) from None
        return files
    finally:
        os.close(inside)


def unpack(files: Mapping[str, bytes], origin: str, remedy: str = "") -> Bundle:
    """The bundle that `pack` made into `files`, every byte checked.

    Errors name `origin`, where the files are from, and say what helps there.
    """
    remedy = remedy or REMEDY
    try:
        # 1) the manifest: whole, and of a format that this build reads
        if MANIFEST not in files:
            raise ValueError(f"there is no {MANIFEST} in it, so it is no model")
        version = _from_json(MANIFEST, files[MANIFEST])["format"]
        if type(version) is int and version > FORMAT:
            problem = f"{MANIFEST} is of format {version}, and this Afterword reads {FORMAT}"
            raise BundleVersionError(origin, problem, "update Afterword to use it")
        if type(version) is not int or version < FORMAT:
            raise ValueError(f"{MANIFEST} is of no format that there ever was")
        manifest = unseal(files[MANIFEST])

        # 2) the files: exactly those that were written, byte for byte
        _check_files(files, manifest)

        # 3) the parts: what has not the type and value that `pack` gives it raises
        spec = _spec(manifest["spec"])
        return Bundle(
            id=manifest["id"],
            created=manifest["created"],
            spec=spec,
            alphabet=Alphabet("".join(manifest["alphabet"])),
            weights=_weights(files[WEIGHTS], manifest["weights"], spec),
            graphs={n: files[_graph_name(n)] for n in manifest["graphs"]},
            scores=_scores(manifest["scores"]),
            provenance=dict(manifest["provenance"]),
            history=_records(HISTORY, files[HISTORY]),
            documents=_records(DOCUMENTS, files[DOCUMENTS]),
        )
    except KeyError as error:
        raise BundleCorruptError(origin, f"{error} is missing in {MANIFEST}", remedy) from error
    except BundleCorruptError as error:
        raise BundleCorruptError(origin, error.problem, remedy) from error
    except (AttributeError, TypeError, ValueError) as error:
        raise BundleCorruptError(origin, str(error), remedy) from error


def seal(value: Json) -> bytes:
    """JSON that carries its own checksum: a flipped bit or an edit anywhere is found."""
    body = json.dumps(value, indent=1, allow_nan=False)
    checksum = hashlib.sha256(body.encode()).hexdigest()
    return f'{body[:-2]},\n "sha256": "{checksum}"\n}}\n'.encode()


def unseal(data: bytes, name: str = MANIFEST) -> Json:
    """The value that `seal` was given. Raises ValueError, about `name`, for any other bytes."""
    value = _from_json(name, data)
    if isinstance(value, dict):
        value.pop("sha256", None)
        if seal(value) == data:
            return value
    raise ValueError(f"the checksum of {name} is wrong, so it was damaged or edited")


# -- what must be true -------------------------------------------------------------------------

WEIGHTS, HISTORY, DOCUMENTS = "weights.bin", "history.json", "documents.json"
DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}
CREATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
REMEDY = "`trainer rollback` goes back to the model before it"
MAX_WEIGHT = 1e3  # trained weights stay below ten; larger ones overflow sooner or later
MAX_STREAMS = 1024
MAX_DEPTH = 32  # of JSON
# What quotes the user, or says where the text was, wherever it stands in a bundle's JSON.
EXCERPTS = frozenset({"command", "folders", "offers", "prompt", "prompts", "sample"})
# The most bytes a file may have. JSON of a stranger's making takes up to 35 times its size in
# memory ('{"":1},' becomes a dict), so these are near what Afterword writes.
LIMITS = {
    MANIFEST: 1 << 20,  # 10 kB as a rule; the counts by folder of a large home are the most of it
    WEIGHTS: 64 << 20,  # with graphs of a quarter of that each, MAX_BYTES holds it
    HISTORY: 1 << 20,  # some hundred records of 350 bytes, or of 2 kB if each letter is an emoji
    DOCUMENTS: 2 << 20,  # MAX_DOCUMENTS at 80 bytes
}
MAX_GRAPH = 64 << 20  # bytes


def _problems(bundle: Bundle) -> Iterator[str]:
    """Why a bundle cannot be served, a sentence each."""
    if not ID.fullmatch(bundle.id):
        yield "its id is not made of lower-case letters, digits and hyphens, or is too long"
    if not CREATED.fullmatch(bundle.created):
        yield f"its date {bundle.created!r} is not of the form 2031-01-31T12:00:00Z"
    if bundle.spec.n_symbols != bundle.alphabet.size:
        yield f"{bundle.spec.n_symbols} symbols in its spec, {bundle.alphabet.size} in its alphabet"
    shapes = {name: weight.shape for name, weight in bundle.weights.items()}
    if shapes != bundle.spec.weight_shapes():
        yield "its weights have other names or shapes than its spec"
    for name, weight in bundle.weights.items():
        # Not finite is not less either, so one comparison serves for both.
        if not (weight.max() < MAX_WEIGHT and weight.min() > -MAX_WEIGHT):
            yield f"weight {name} is not finite or beyond {MAX_WEIGHT:g}: training went astray"
    for n_streams, graph in bundle.graphs.items():
        if not 1 <= n_streams <= MAX_STREAMS or graph[4:8] != b"TFL3":
            yield f"{_graph_name(n_streams)} is not a LiteRT graph"


def _files(bundle: Bundle, weights_dtype: str) -> dict[str, bytes]:
    shapes = bundle.spec.weight_shapes()
    dtype = DTYPES[weights_dtype]
    files = {
        WEIGHTS: b"".join(bundle.weights[name].astype(dtype).tobytes() for name in shapes),
        HISTORY: _to_json(list(bundle.history)),
        DOCUMENTS: _to_json(list(bundle.documents)),
        **{_graph_name(n): graph for n, graph in sorted(bundle.graphs.items())},
    }
    files[MANIFEST] = seal(
        {
            "format": FORMAT,
            "id": bundle.id,
            "created": bundle.created,
            "spec": asdict(bundle.spec),
            # A list, since two lone surrogates in one string would come back as one character.
            "alphabet": list(bundle.alphabet.characters),
            "scores": {name: float(score) for name, score in bundle.scores.items()},
            "provenance": bundle.provenance,
            "graphs": sorted(bundle.graphs),
            "weights": {
                name: {"dtype": weights_dtype, "shape": list(shape)}
                for name, shape in shapes.items()
            },
            "files": {
                name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                for name, data in files.items()
            },
        }
    )
    return files


def _limit(name: str) -> int:
    return LIMITS.get(name, MAX_GRAPH)


def _graph_name(n_streams: int) -> str:
    return f"step-{n_streams}.tflite"


def _digests(documents: Iterable[Json]) -> Iterator[str]:
    for document in documents:
        if isinstance(digest := document.get("digest"), str):
            yield digest


def _emptied(value: Any) -> Any:
    """JSON with nothing under the keys of EXCERPTS, at any depth: "" for "...", [] for [...]."""
    if isinstance(value, list | tuple):
        return [_emptied(child) for child in value]
    if isinstance(value, dict):
        return {
            key: type(child)() if key in EXCERPTS else _emptied(child)
            for key, child in value.items()
        }
    return value


# -- reading -----------------------------------------------------------------------------------


def _read_file(name: str, inside: int, at_most: int) -> bytes:
    """A regular file of the open folder. Raises OSError, or ValueError for anything else."""
    try:
        # Opening a pipe would otherwise wait for somebody to write to it.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=inside)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):
            raise ValueError("it is a link or a socket, not a file") from None
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a regular file")
        if status.st_size > min(at_most, _limit(name)):
            raise ValueError(f"{status.st_size} bytes are too many for a model")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(status.st_size)
    finally:
        os.close(descriptor)


def _unreadable(path: Path, error: OSError) -> BundleError:
    if isinstance(error, NotADirectoryError) or error.errno == errno.ELOOP:
        return BundleCorruptError(str(path), "it is not a folder, so it is no model", REMEDY)
    # Too many open files, no permission, a faulty disk: nothing is known about the bundle.
    reason = (error.strerror or str(error)).lower()
    return BundleError(str(path), f"it cannot be read ({reason})", "mend that and try again")


def _check_files(files: Mapping[str, bytes], manifest: Json) -> None:
    graphs = {_graph_name(n) for n in manifest["graphs"]}
    expected = {MANIFEST, WEIGHTS, HISTORY, DOCUMENTS} | graphs
    for name in sorted(expected ^ files.keys()):
        raise ValueError(f"{name} is missing" if name in expected else f"{name} is not part of it")
    if {MANIFEST, *manifest["files"]} != expected:
        raise ValueError("the manifest names other files")
    for name, written in manifest["files"].items():
        if len(files[name]) != written["size"]:
            raise ValueError(f"{name} has {len(files[name])} bytes instead of {written['size']}")
        if hashlib.sha256(files[name]).hexdigest() != written["sha256"]:
            raise ValueError(f"the checksum of {name} is wrong, so it was damaged or edited")


def _spec(value: Json) -> NetworkSpec:
    spec = NetworkSpec(**value)
    numbers = (spec.n_symbols, spec.layers, spec.units, spec.embedding)
    if value.keys() != asdict(spec).keys() or {type(n) for n in numbers} != {int}:
        raise ValueError("its spec is not one that this Afterword writes")
    return spec


def _weights(data: bytes, declared: Json, spec: NetworkSpec) -> dict[str, NDArray[np.float32]]:
    """Read-only arrays over `data`, which is not copied if it is float32."""
    weights: dict[str, NDArray[np.float32]] = {}
    at = 0  # bytes
    for name, shape in spec.weight_shapes().items():
        dtype = DTYPES[declared[name]["dtype"]]
        n_bytes = math.prod(shape) * dtype.itemsize
        if declared[name]["shape"] != list(shape) or at + n_bytes > len(data):
            raise ValueError(f"weight {name} has another shape than its spec")
        array = np.frombuffer(data, dtype, math.prod(shape), at).reshape(shape)
        weights[name] = array.astype(np.float32, copy=False)
        at += n_bytes
    if at != len(data) or len(declared) != len(weights):
        raise ValueError(f"{WEIGHTS} holds {len(data)} bytes where its spec asks for {at}")
    return weights


def _scores(value: Json) -> dict[str, float]:
    if not all(type(score) is float and math.isfinite(score) for score in value.values()):
        raise ValueError("a score is not a number")
    return dict(value)


def _records(name: str, data: bytes) -> tuple[Json, ...]:
    value = _from_json(name, data)
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise ValueError(f"{name} is not a list of records")
    return tuple(value)


def _to_json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def _from_json(name: str, data: bytes) -> Any:
    """What the file says. Raises ValueError for what is long, deep, or no standard JSON."""
    if len(data) > _limit(name):
        raise ValueError(f"{name} has {len(data)} bytes, which are too many")
    try:
        value = json.loads(data.decode(), parse_constant=_refuse)
    except RecursionError:
        raise ValueError(f"{name} is nested too deep") from None
    except ValueError:
        raise ValueError(f"{name} is cut short, or no JSON") from None
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return value
    raise ValueError(f"{name} is nested too deep")


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
