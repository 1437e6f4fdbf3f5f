"""What `pip install .` puts on a machine: all that runs, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# The base model and what it is made of; the memory, compiled; the mixers that were taught.
DATA = (".bin", ".json", ".md", ".tflite", ".toml", ".txt", ".clib", ".f32")


@pytest.mark.slow
def test_the_wheel_holds_the_three_packages_and_nothing_else(tmp_path: Path) -> None:
    """Templates, typing markers, the base model and the plug-ins are in it; tests and example
    letters are not.
    """
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("afterword-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    ours = {name for name in names if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in ours} == {
        "afterword_daemon",
        "afterword_lsp",
        "afterword_trainer",
    }
    sources = ROOT / "trainer" / "afterword_trainer"
    expected = {
        f"afterword_trainer/{path.relative_to(sources).as_posix()}"
        for path in sources.rglob("*")
        if path.suffix in DATA or path.suffix in (".py", ".jinja", ".typed")
    }
    assert {name for name in ours if name.startswith("afterword_trainer/")} == expected
    # What `afterword install` puts in place; the extension, where it was built.
    plugins = {name for name in ours if name.startswith("afterword_daemon/editors/")}
    neovim = ROOT / "editors" / "neovim"
    expected = {
        f"afterword_daemon/editors/neovim/{path.relative_to(neovim).as_posix()}"
        for folder in ("plugin", "lsp", "lua", "doc")
        for path in (neovim / folder).rglob("*")
        if path.is_file()
    }
    assert "afterword_daemon/editors/neovim/plugin/afterword.lua" in expected
    expected.add("afterword_daemon/editors/README.md")  # what it tells of the other editors
    if (ROOT / "editors" / "vscode" / "afterword.vsix").is_file():
        expected.add("afterword_daemon/editors/vscode/afterword.vsix")
    assert plugins == expected
    scripts = next(name for name in names if name.endswith("entry_points.txt"))
    assert b"trainer = afterword_trainer.cli:main" in zipfile.ZipFile(wheel).read(scripts)
