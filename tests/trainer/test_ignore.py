"""Ignore files mean what git takes them to mean, and what tools leave behind is known by sight."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from afterword_trainer.finding import Found, Rules, find
from afterword_trainer.ignore import (
    Foreign,
    Ignore,
    foreign_contents,
    foreign_file,
    foreign_folder,
    is_generated,
    is_project,
    opts_out,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

FILES = [
    "a", "c.md", "d.txt", "e f.md", "b/a", "b/c.md", "b/d.txt", "b/b/c.md", "b/b/a", "g/a",
    "g/b/c.md", "g/b/d.txt", "!a", "#a", "x/y/z/c.md", "x/y/d.txt", "äö.md",
]  # fmt: skip
PATTERNS = [
    "a", "a/", "/a", "b", "b/", "/b/", "b/*", "b/**", "**/b", "**/b/", "*.md", "!*.md", "!a", "!b/",
    "!/b/c.md", "b/b", "*", "!*/", "/*", "?.md", "[abc].md", "[!a].md", "x/**/c.md", "\\!a", "\\#a",
    "# a", "", "  ", "d.txt ", "e\\ f.md", "e f.md", "**", "!**/c.md", "x/*/z", "[a", "/", "!",
    "y/", "x/y", "!x/y/z/", "äö.md", "!c.md", "*.txt\r", "**/z/**", "c.*", "b**", "\\", "a\\",
]  # fmt: skip


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    """Git in a repository that holds FILES, untouched by how git is set up elsewhere."""
    root = tmp_path_factory.mktemp("git") / "root"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("text")
    plain = {"HOME": str(root.parent), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}

    def run(*arguments: str) -> list[str]:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, check=True, env={**os.environ, **plain}, capture_output=True)
        return done.stdout.decode().split("\0")

    if shutil.which("git") is None:
        pytest.skip("git itself is the oracle")
    run("init", "--quiet")
    (root / ".git/info").mkdir(exist_ok=True)
    return run


patterns = st.lists(st.sampled_from(PATTERNS), max_size=4)


@settings(max_examples=60)
@given(outer=patterns, inner=patterns, exclude=patterns)
@example(outer=["*", "!*/", "!*.md"], inner=[], exclude=[])
@example(outer=["b/**", "!b/c.md"], inner=[], exclude=[])
@example(outer=["b/*", "!/b/c.md"], inner=["*.md"], exclude=["d.txt"])
def test_git_agrees(
    git: Callable[..., list[str]], outer: list[str], inner: list[str], exclude: list[str]
) -> None:
    """Every file that git would not track for its patterns, and no other, is passed over."""
    root = Path(git("rev-parse", "--show-toplevel")[0].strip())
    (root / ".git/info/exclude").write_text("\n".join(exclude))
    (root / ".gitignore").write_text("\n".join(outer))
    (root / "b/.gitignore").write_text("\n".join(inner))
    untracked = set(git("ls-files", "--others", "--exclude-standard", "-z"))
    expected = {f"root/{name}" for name in FILES if name in untracked}

    assert expected == {item.path for item in find([root], Rules()) if isinstance(item, Found)}


def test_one_kind_of_ignore_file_cannot_undo_the_other() -> None:
    """A negation reaches the patterns of its own kind only: what is read can only get less."""
    ignored = Ignore().within("/r", ".gitignore", ["*.log"])
    ignored = ignored.within("/r", ".afterwordignore", ["!*.log", "drafts/"])

    assert ignored.excludes("/r/a.log", is_folder=False) == ".gitignore"
    assert ignored.excludes("/r/drafts", is_folder=True) == ".afterwordignore"
    assert ignored.excludes("/r/a.md", is_folder=False) is None
    assert ignored.excludes("/elsewhere/a.log", is_folder=False) is None


@pytest.mark.parametrize(
    ("name", "beside", "expected"),
    [
        ("notes", (), None),
        (".obsidian", (), "hidden"),
        ("node_modules", (), "dependencies"),
        ("__pycache__", (), "build"),
        ("thing.egg-info", (), "build"),
        ("build", ("diary.md",), None),
        ("build", ("pyproject.toml",), "build"),
        ("target", ("Cargo.toml",), "build"),
        ("vendor", ("go.mod",), "dependencies"),
        ("bin", ("Makefile",), None),
    ],
)
def test_folders_by_name(name: str, beside: tuple[str, ...], expected: Foreign | None) -> None:
    """A folder called "build" is somebody's own unless a build tool works beside it."""
    assert expected == foreign_folder(name, in_project=is_project(beside))


def test_folders_by_contents() -> None:
    """Virtual environments and caches carry marks of their own, whatever they are called."""
    assert foreign_contents({"pyvenv.cfg", "lib"}) == "dependencies"
    assert foreign_contents({"conda-meta"}) == "dependencies"
    assert foreign_contents({"CACHEDIR.TAG"}) == "build"
    assert foreign_contents({"README.md"}) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("essay.md", None),
        ("main.py", None),
        ("map.md", None),
        (".bashrc", "hidden"),
        ("Cargo.lock", "lock-file"),
        ("package-lock.json", "lock-file"),
        ("pnpm-lock.yaml", "lock-file"),
        ("go.sum", "lock-file"),
        ("jquery.min.js", "generated"),
        ("app.js.map", "generated"),
        ("wire_pb2.py", "generated"),
        ("essay.md~", "generated"),
        ("table.csv", "data"),
        ("server.log", "data"),
        ("thesis.aux", "data"),
    ],
)
def test_files_by_name(name: str, expected: Foreign | None) -> None:
    """What no one typed is known by its name."""
    assert expected == foreign_file(name)


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("# Generated by protoc. Do not edit.\nx = 1\n", "python", True),
        ("// Code generated by stringer; DO NOT EDIT.\npackage main\n", "go", True),
        ("/* @generated */\nlet a = 1\n", "typescript", True),
        ("x = 'generated by me'\n", "python", False),
        ("x = 1\n" * 12 + "# do not edit\n", "python", False),
        ("# Files generated by rails g\n\nNotes on them.\n", "markdown", False),
        ("<!-- generated by a tool, do not edit -->\n# API\n", "markdown", True),
        ("var a=1;" * 1000, "javascript", True),
        ("A long paragraph of prose on one line. " * 200, "markdown", False),
    ],
)
def test_generated_texts(text: str, language: str, expected: bool) -> None:
    """A program says so in a comment of the first lines; prose may speak of generated things."""
    assert expected == is_generated(text, language)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# afterword: nolearn\nx = 1\n", True),
        ("---\ntitle: mine\nafterword: nolearn\n---\n" + "text\n" * 50, True),
        ("text\n" * 50 + "<!-- Afterword:nolearn -->\n", True),
        ("text\n" * 50 + "afterword: nolearn\n" + "text\n" * 50, False),
        ("an afterword: no learned one\n", False),
        (f"# Mine\n\n{'long ' * 500}\n\nafterword: nolearn\n", True),
        (f"afterword: nolearn\n{'long ' * 500}\n" + "text\n" * 50, True),
        ("text\n" * 50 + f"{'long ' * 500}\nafterword: nolearn\n", True),
        ("text\n" * 50 + "afterword: nolearn\n\n\n\n\n\n", True),
        ("afterword:\u00a0nolearn\n", True),
        ("afterword:\nnolearn\n", False),
    ],
)
def test_owners_opt_out(text: str, expected: bool) -> None:
    """A mode line in the first or last five lines keeps a file out."""
    assert expected == opts_out(text)
