"""Settings: what may be written, and that every mistake is told at once, with its line."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from afterword_daemon import config
from afterword_daemon.config import ConfigError, Learning, Settings
from afterword_trainer.paths import Paths
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.from_environment({"AFTERWORD_HOME": str(tmp_path)})


def write(paths: Paths, text: str) -> None:
    paths.config.mkdir(exist_ok=True)
    config.path_of(paths).write_text(text, encoding="utf-8")


def mistakes(paths: Paths, text: str) -> tuple[str, ...]:
    write(paths, text)
    with pytest.raises(ConfigError) as raised:
        config.load(paths)
    return raised.value.mistakes


def test_without_a_file_there_are_defaults(paths: Paths) -> None:
    """Nobody has to write anything; looking makes nothing."""
    assert config.load(paths) == Settings()
    assert not paths.config.exists()


def test_what_is_written_holds_and_the_rest_stays(paths: Paths) -> None:
    """Each key takes the place of its default, and of no other."""
    write(
        paths,
        'trigger = "manual"\neagerness = 0.3\nwatch = ["~/notes", "/srv/text"]\n'
        "[enable]\npython = false\n[learning]\non_battery = true\n",
    )

    settings = config.load(paths)

    assert settings.trigger == "manual"
    assert settings.min_probability == 0.3
    assert settings.watch == (Path.home() / "notes", Path("/srv/text"))
    assert settings.learning == Learning(on_battery=True)
    assert (settings.enabled_for("python"), settings.enabled_for("markdown")) == (False, True)
    assert settings.max_characters == Settings().max_characters


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("temprature = 1", "line 1: temprature is no setting: did you mean temperature?"),
        ("\n\nseed = true", "line 3: seed is a whole number from 0 to 2147483647, not true"),
        ("temperature = nan", "line 1: temperature is a number from 0 to 2, not NaN"),
        ("idle_minutes = inf", "line 1: idle_minutes is a number from 0 to 100000, not Infinity"),
        ("max_characters = 1", "line 1: max_characters is a whole number from 2 to 1000, not 1"),
        ('trigger = "always"', 'line 1: trigger is "auto" or "manual", not "always"'),
        ('watch = ["notes"]', 'line 1: watch is a list of folders, each from "/" or "~" on'),
        ("enable = false", "line 1: enable is a table, not false"),
        ("[enable]\n\n'c++' = 1", "line 3: enable.c++ is true or false, not 1"),
        ("learning.quiets = 3", "line 1: learning.quiets is no setting: did you mean quiet_s?"),
        ("# é\nfoo.bar = 2031-01-31", "line 2: foo is no setting"),
        ("seed = 1\n[[odd]]\nx = 1", "line 2: odd is no setting"),
        ('ignore = [\n  "a",\n  3,\n]', "line 1: ignore is a list of patterns"),
        ("seed = 0\nseed = 1", "line 2: not TOML: cannot overwrite a value"),
        ("seed = ", "line 1: not TOML: "),
        ("seed = 1\nwatch = [\n", "line 2: not TOML: "),
    ],
)
def test_a_mistake_names_its_line_and_what_belongs_there(
    paths: Paths, text: str, said: str
) -> None:
    """One line of the message for each, in the words of the file."""
    found = mistakes(paths, text)
    assert len(found) == 1
    assert said in found[0]


def test_every_mistake_is_told_at_once_in_the_order_of_the_file(paths: Paths) -> None:
    """Nobody mends one to be told of the next; what stands inside a text is no line of its own."""
    found = mistakes(
        paths,
        'seed = -1\nignore = [\n  "[learning]",\n  "quiet_s = 3",\n]\ntrigger = 5\n'
        "[learning]\nenable = 3\n[enable]\nrust = []\n",
    )
    assert [mistake.partition(":")[0] for mistake in found] == [
        "line 1",
        "line 6",
        "line 8",
        "line 10",
    ]


def test_the_sound_part_of_a_bad_file_still_counts(paths: Paths) -> None:
    """Whoever has to go on is not to turn on what was turned off above the mistake."""
    write(paths, 'tigger = "auto"\n[enable]\n"*" = false\n')
    with pytest.raises(ConfigError) as raised:
        config.load(paths)

    assert not raised.value.settings.enabled_for("markdown")
    assert "\n" not in str(raised.value)
    assert str(config.path_of(paths)) in str(raised.value)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"#" * (config.MOST_BYTES + 1)])
def test_a_file_that_is_no_text_is_a_mistake_too(paths: Paths, data: bytes) -> None:
    """Not a traceback: another encoding, or something large under our name."""
    paths.config.mkdir()
    config.path_of(paths).write_bytes(data)
    with pytest.raises(ConfigError):
        config.load(paths)


def test_the_template_says_the_defaults(paths: Paths) -> None:
    """It changes nothing as it is; with its settings put in force, it still says the defaults."""
    config.write_template(paths)
    assert config.load(paths) == Settings()

    lines = config.TEMPLATE.splitlines()
    in_force = [line[1:] if line[:2].strip("#").strip() else line for line in lines]
    write(paths, "\n".join(in_force))
    settings = config.load(paths)

    examples = {"watch", "ignore", "enable"}
    for name in Settings.__dataclass_fields__:
        assert f"#{name} = " in config.TEMPLATE or f"#[{name}]" in config.TEMPLATE
        if name not in examples:
            assert getattr(settings, name) == getattr(Settings(), name)


def test_a_change_of_the_file_shows(paths: Paths) -> None:
    """By which whoever holds settings knows that there are others."""
    stamps = [config.stamp(paths)]
    for text in ("seed = 1", "seed = 22"):
        write(paths, text)
        stamps.append(config.stamp(paths))
    assert stamps[0] is None
    assert len({*stamps}) == 3
    assert config.stamp(paths) == stamps[-1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# mine\nseed = 3  # a good one",
        "seed = 3\r\nstats = true\r\n\r\n[enable]\r\npython = true\r\n",
        "[learning]\non_battery = true\n",
        "ignore = [\n  'stats = 5',\n]\n",
        config.TEMPLATE,
    ],
)
def test_setting_a_key_leaves_every_other_line(paths: Paths, text: str) -> None:
    """Comments and order are the user's; what was set before is set still."""
    write(paths, text)
    before = config.load(paths)
    config.put(paths, "stats", "false")
    config.put(paths, "ignore", '["x"]')

    after = config.load(paths)

    assert (after.stats, after.ignore) == (False, ("x",))
    assert after.learning == before.learning
    assert (after.seed, after.enable) == (before.seed, before.enable)
    written = config.path_of(paths).read_text(encoding="utf-8").splitlines()
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert [line for line in written if line.startswith("#")] == comments


def test_a_key_is_not_set_in_a_file_that_has_mistakes(paths: Paths) -> None:
    """What is not understood is not rewritten."""
    write(paths, "sed = 3\n")
    with pytest.raises(ConfigError):
        config.put(paths, "stats", "false")
    assert config.path_of(paths).read_text(encoding="utf-8") == "sed = 3\n"


@given(text=st.text(alphabet="ab\n =[]\"'{},.#1tru", max_size=60))
def test_nothing_that_can_be_written_breaks_it(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    """Settings or mistakes with a place, whatever the file holds."""
    paths = Paths.from_environment({"AFTERWORD_HOME": str(tmp_path_factory.getbasetemp())})
    write(paths, text)
    try:
        found: tuple[str, ...] = ("line",) if config.load(paths) else ()
    except ConfigError as error:
        found = error.mistakes
    assert found
    assert all("line" in mistake for mistake in found)


def test_a_file_that_is_a_link_stays_one(paths: Paths, tmp_path: Path) -> None:
    """As people keep their dotfiles: what is set goes to the file behind it."""
    real = tmp_path / "dotfiles.toml"
    real.write_text("seed = 3\n", encoding="utf-8")
    paths.config.mkdir()
    config.path_of(paths).symlink_to(real)

    config.put(paths, "stats", "false")

    assert config.path_of(paths).is_symlink()
    assert real.read_text(encoding="utf-8") == "stats = false\nseed = 3\n"


def test_a_mistake_behind_a_long_list_is_found_without_reading_the_list_again_and_again(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that starts reads this; what it reads is a few times the file, not the square."""
    n_read = 0
    loads = config.tomllib.loads

    def counted(text: str) -> object:
        nonlocal n_read
        n_read += len(text)
        return loads(text)

    monkeypatch.setattr(
        config, "tomllib", SimpleNamespace(**vars(config.tomllib) | {"loads": counted})
    )
    patterns = "".join(f'  "[a-f]*{n}.txt", # why\n' for n in range(1000))
    text = f"ignore = [\n{patterns}] # these\n\nsede = 3\n"

    assert mistakes(paths, text) == ("line 1004: sede is no setting: did you mean seed?",)
    assert n_read < 4 * len(text)


@pytest.mark.parametrize(
    "statement",
    [
        'ignore = [\n  "a", "]",\n  "b" ]',
        'ignore = ["""\na]\n""",\n]',
        "ignore = [\n'a'\n] # ]",
        'ignore = [ """\na""" ]',
        "learning = { enable = true }\n[enable]\n'*' = true",
    ],
)
def test_a_statement_of_several_lines_ends_where_it_ends(paths: Paths, statement: str) -> None:
    """The line of what follows is right, whatever brackets and quotes there were."""
    where = statement.count("\n") + 2
    found = mistakes(paths, f"{statement}\nsede = 3\n")
    assert found[0].startswith((f"line {where}: sede", f"line {where}: enable.sede"))
