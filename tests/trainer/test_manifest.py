"""Manifests: what they say, and that every mistake in one is named at once."""

from pathlib import Path

import pytest
from afterword_trainer import base
from afterword_trainer.pretraining import PretrainingError, manifest
from afterword_trainer.pretraining.manifest import Part

PART = 'name = "docs"\narchive = "docs.txt.xz"\nlicence = "MIT"\nsource = "a library"\n'


def load(folder: Path, text: str) -> manifest.Manifest:
    path = folder / "manifest.toml"
    path.write_text(text, encoding="utf-8")
    return manifest.load(path)


def test_a_manifest_lists_parts_and_tests(tmp_path: Path) -> None:
    """Keys that are left out have defaults."""
    found = load(
        tmp_path,
        f'name = "base"\n[tests]\nnever = ["novel.txt"]\n[[parts]]\n{PART}'
        'weight = 0.5\nexclude = ["a/*"]\n[[parts]]\n'
        'name = "code"\nstdlib = true\nlicence = "PSF-2.0"\nsource = "CPython"\n',
    )

    assert found.name == "base"
    assert found.never == ["novel.txt"]
    assert found.parts == [
        Part(
            name="docs",
            archive="docs.txt.xz",
            licence="MIT",
            source="a library",
            weight=0.5,
            exclude=["a/*"],
        ),
        Part(name="code", stdlib=True, licence="PSF-2.0", source="CPython"),
    ]


NAME = 'name = "base"\n'


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("", ["lacks 'name'", "lacks 'parts'"]),
        (
            "name = 3\nparts = 4\n",
            ["'name' must be a short", "'parts' must be a list"],
        ),
        (f"{NAME}parts = []\n", ["'parts' must be a list of tables"]),
        (f"{NAME}colour = 1\n[[parts]]\n{PART}", ["no key 'colour'"]),
        ('name = "Two Words"\n[[parts]]\n' + PART, ["'name' must be a short name"]),
        ('name = "a/b"\n[[parts]]\n' + PART, ["'name' must be a short name", "not 'a/b'"]),
        ('name = "-a"\n[[parts]]\n' + PART, ["'name' must be a short name"]),
        (f"{NAME}[[parts]]\n{PART}wieght = 1\n", ["part 1 has no key 'wieght'", "'weight'?"]),
        (f"{NAME}[[parts]]\n{PART}weight = 0\n", ["part 1: 'weight' must be a number above 0"]),
        (f"{NAME}[[parts]]\n{PART}weight = true\n", ["'weight' must be a number above 0"]),
        (f"{NAME}[[parts]]\n{PART}weight = nan\n", ["'weight' must be a number above 0"]),
        (f"{NAME}[[parts]]\n{PART}weight = inf\n", ["and up to 100, not inf"]),
        (f"{NAME}[[parts]]\n{PART}weight = 1e9\n", ["and up to 100, not 1000000000.0"]),
        (f'{NAME}[[parts]]\n{PART}exclude = "a/*"\n', ["'exclude' must be a list of texts"]),
        (f"{NAME}[[parts]]\n{PART}stdlib = true\n", ["part 1 names one place of archive, folder"]),
        (f'{NAME}[[parts]]\nname = "x"\n', ["lacks 'licence'", "lacks 'source'", "one place"]),
        (f"{NAME}[[parts]]\n{PART}[[parts]]\n{PART}", ["two parts are called 'docs'"]),
        (
            f"{NAME}[tests]\nnever = 1\nseldom = 2\n[[parts]]\n{PART}",
            ["'never' must", "'seldom'"],
        ),
        ("name = \n", ["not TOML"]),
        (f"x = {'[' * 9_000}{']' * 9_000}\n", ["nested too deep"]),
        ("name = '\udce9'\n", ["not TOML"]),
    ],
)
def test_every_mistake_is_named_at_once(text: str, mistakes: list[str], tmp_path: Path) -> None:
    """One sentence, with the file's name first and a remedy at the end."""
    path = tmp_path / "manifest.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(PretrainingError) as error:
        manifest.load(path)

    assert str(error.value).startswith(f"{path}: ")
    assert "; correct" in str(error.value)
    for mistake in mistakes:
        assert mistake in str(error.value)


def test_a_manifest_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    """Not there, a folder, or far too long."""
    (tmp_path / "long").write_text("#" * (manifest.MOST_BYTES + 1), encoding="utf-8")
    for path, why in (
        (tmp_path / "none.toml", "No such file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "long", "over 1,048,576 bytes"),
    ):
        with pytest.raises(PretrainingError, match=why):
            manifest.load(path)


def test_the_manifest_of_the_base_model_is_one() -> None:
    """Its weights are spread as its comments say: prose below documentation, code the least."""
    found = manifest.load(Path(base.__file__).parent / "manifest.toml")

    assert found.name == "base"
    assert len(found.never) == 3
    assert {part.name for part in found.parts} >= {"docs", "prose", "letters", "multilingual"}
