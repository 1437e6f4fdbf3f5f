from pathlib import Path

import pytest
from afterword_trainer.paths import Paths


def test_one_variable_puts_everything_under_one_folder(tmp_path: Path) -> None:
    """AFTERWORD_HOME is for trying things out and for seeing all of it in one place."""
    paths = Paths.from_environment({"AFTERWORD_HOME": str(tmp_path), "XDG_RUNTIME_DIR": "/run/me"})

    assert paths == Paths(
        config=tmp_path / "config",
        data=tmp_path / "data",
        cache=tmp_path / "cache",
        runtime=tmp_path / "run",
        logs=tmp_path / "logs",
    )
    assert (paths.models, paths.runs, paths.reports) == (
        tmp_path / "data" / "models",
        tmp_path / "cache" / "runs",
        tmp_path / "data" / "reports",
    )


@pytest.mark.parametrize("home", ["~/kept here", "kept/here"])
def test_home_may_be_relative_or_start_with_a_tilde(home: str) -> None:
    """What a person types is made absolute at once: the daemon works in another folder."""
    paths = Paths.from_environment({"AFTERWORD_HOME": home})

    assert paths.data.is_absolute()
    assert "~" not in paths.data.parts


@pytest.mark.parametrize("environ", [{}, {"AFTERWORD_HOME": ""}])
def test_without_it_the_folders_are_those_of_the_system(environ: dict[str, str]) -> None:
    """Each lies where this system keeps such things, under our name, and no two are one."""
    paths = Paths.from_environment(environ)
    folders = [paths.config, paths.data, paths.cache, paths.runtime, paths.logs]

    assert all(folder.is_absolute() and "afterword" in folder.parts for folder in folders)
    assert len({paths.models, paths.runs, paths.reports, paths.config, paths.logs}) == 5


def test_the_session_keeps_the_socket_where_it_has_a_place_for_it() -> None:
    """XDG_RUNTIME_DIR is private and in memory; cron and sudo have none."""
    with_session = Paths.from_environment({"XDG_RUNTIME_DIR": "/run/user/7"})
    without = Paths.from_environment({})

    assert with_session.runtime == Path("/run/user/7/afterword")
    assert without.runtime == without.cache / "run"


def test_naming_folders_makes_none(tmp_path: Path) -> None:
    """Nothing appears on disk before something is written."""
    Paths.from_environment({"AFTERWORD_HOME": str(tmp_path / "home")})

    assert list(tmp_path.iterdir()) == []
