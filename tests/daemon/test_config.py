"""Settings: what may be written, and that every mistake is told at once, with its line."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
    config.path_of(paths).write_text(text, encoding="utf-8", newline="")


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
        (
            "idle_minutes = inf",
            "line 1: idle_minutes is 0 or a number from 0.1 to 100000, not Infinity",
        ),
        ("max_characters = 1", "line 1: max_characters is a whole number from 2 to 1000, not 1"),
        ('trigger = "always"', 'line 1: trigger is "auto" or "manual", not "always"'),
        ('watch = ["notes"]', 'line 1: watch is a list of folders, each from "/" or "~" on'),
        ("enable = false", "line 1: enable is a table, not false"),
        ("[enable]\n\n'c++' = 1", "line 3: enable.c++ is true or false, not 1"),
        ("learning.quiets = 3", "line 1: learning.quiets is no setting: did you mean quiet_s?"),
        ("# é\nfoo.bar = 2031-01-31", "line 2: foo is no setting"),
        ("seed = 1\n[[odd]]\nx = 1", "line 2: odd is no setting"),
        ('ignore = [\n  "a",\n  3,\n]', "line 1: ignore is a list of patterns"),
        ("idle_minutes = 0.00001", "line 1: idle_minutes is 0 or a number from 0.1 to 100000"),
        (
            'watch = ["~nosuchuser/x"]',
            "line 1: watch is a list of folders, and nobody here is called",
        ),
        ('watch = ["/a\\u0000b"]', "line 1: watch is a list of folders"),
        ("\nseed = 1" + "0" * 400, "line 2: seed is a whole number from 0 to 2147483647, not 1000"),
        ("temperature = 1" + "0" * 400, "line 1: temperature is a number from 0 to 2, not 1000"),
        ("\nseed = " + "9" * 5000, "line 2: "),  # older Pythons read it
        ("seed = 0x" + "f" * 9000, "line 1: seed is a whole number"),
        ("\nx = " + "[" * 3000 + "]" * 3000, "line 2: "),
        ("\nx = " + "[" * 300 + "]" * 300, "line 2: lists or tables lie within each other"),
        ("\n" + "x." * 500 + "x = 1", "line 2: lists or tables lie within each other"),
        ("k" * 3000 + " = 1", f'line 1: "{"k" * 39}…" is no setting'),
        ('"\\u001b[31mred" = 1', r'line 1: "\u001b[31mred" is no setting'),
        ('"a\\nline 1: fine" = 1', r'line 1: "a\u000aline 1: fine" is no setting'),
        ('"\\u202eevil" = 1', r'line 1: "\u202eevil" is no setting'),
        ('seed = "\\u009b31m\\u007f"', r'not "\u009b31m\u007f"'),
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


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("enable = false", "suggestions"),
        ("[enable]\n'*' = 0", "suggestions"),
        ("[enable]\nmarkdown = 'no'", "suggestions"),
        ("[enabled]\nmarkdown = false", "suggestions"),
        ("trigger = 'Manual'", "trigger"),
        ("triger = 'manual'", "trigger"),
        ("stats = 'off'", "stats"),
        ("stat = false", "stats"),
        ("learning = false", "learning"),
        ("[learning]\nenable = 'off'", "learning"),
        ("[learning]\nenabled = false", "learning"),
        ("[learning]\nquiet_s = 'long'", "nothing"),
        ("[enable]\nrust = 'no'\n[odd]\nstats = 3", "nothing"),
        ("temperature = 'hot'", "nothing"),
    ],
)
def test_what_may_have_been_to_switch_something_off_does(
    paths: Paths, text: str, what: str
) -> None:
    """A slip in it costs suggestions or figures, and no privacy; other slips cost neither."""
    write(paths, text)
    with pytest.raises(ConfigError) as raised:
        config.load(paths)
    settings = raised.value.settings

    off = {
        "suggestions": not settings.enabled_for("markdown"),
        "trigger": settings.trigger == "manual",
        "stats": not settings.stats,
        "learning": not settings.learning.enable,
    }
    assert [name for name in off if off[name]] == [name for name in off if name == what]
    assert not raised.value.is_unreadable


def test_where_nothing_can_be_read_what_held_before_goes_on(paths: Paths) -> None:
    """Who knows nothing from before is silent; what is wrong is said in one line, with both."""
    write(paths, "seed = 4\n[enable]\n'*' = false\n")
    before, notice = config.in_force(paths)
    assert (before.seed, before.enabled_for("markdown"), notice) == (4, False, "")

    write(paths, "seed = 4\n[enable]\n'*' = false\nx = \n")
    settings, notice = config.in_force(paths, before)
    assert settings == before
    assert "line 4: not TOML" in notice
    assert "so all is as before; correct it" in notice
    settings, notice = config.in_force(paths)
    assert not settings.enabled_for("markdown")
    assert not settings.learning.enable
    assert (settings.stats, settings.trigger) == (False, "manual")
    assert "so nothing is suggested or learned; correct it" in notice
    assert config.in_force(paths, settings) == (settings, notice)

    write(paths, "sede = 4\nseed = 5\n")
    settings, notice = config.in_force(paths, before)
    assert settings == Settings(seed=5)
    assert "line 1: sede is no setting" in notice


@pytest.mark.parametrize("is_there", [True, False])
def test_a_file_on_its_way_is_waited_for(paths: Paths, is_there: bool) -> None:
    """Some editors empty it before they write it, others move it; after a while that is meant."""
    write(paths, "stats = false\n")
    before, _ = config.in_force(paths)
    path = config.path_of(paths)
    if is_there:
        write(paths, "")
        assert config.in_force(paths)[0] == config.SILENT
    else:
        path.unlink()
        assert config.in_force(paths)[0] == Settings()
    assert config.in_force(paths, before)[0] == before
    stamp = config.stamp(paths)

    os.utime(path if is_there else path.parent, (1, 1))

    assert config.stamp(paths) != stamp
    assert config.in_force(paths, before) == (Settings(), "")


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(b"\xff\xfe"),
        lambda path: path.write_bytes(b"#" * (config.MOST_BYTES + 1)),
        lambda path: path.mkdir(),
        lambda path: os.mkfifo(path),
        lambda path: path.symlink_to("/nowhere"),
        lambda path: path.symlink_to(path),
    ],
)
def test_a_file_that_is_no_text_is_a_mistake_too(
    paths: Paths, harm: Callable[[Path], object]
) -> None:
    """Not a traceback: another encoding, or something under our name that is no such file."""
    paths.config.mkdir()
    harm(config.path_of(paths))
    with pytest.raises(ConfigError) as raised:
        config.load(paths)
    assert raised.value.is_unreadable
    assert not any(remedy in str(raised.value) for remedy in ("name a", "AFTERWORD_HOME"))


def test_of_many_mistakes_a_few_are_told(paths: Paths) -> None:
    """A screen of them; and in one sentence, a sentence's worth."""
    write(paths, "".join(f"k{n} = 1\n" for n in range(5000)))
    with pytest.raises(ConfigError) as raised:
        config.load(paths)
    assert len(raised.value.mistakes) == config.MOST_TOLD + 1
    assert raised.value.mistakes[-1] == "line 21: and 4,980 more from here on"
    assert len(str(raised.value)) < 400


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
        "\ufeff# mine\r\nseed = 3\r\n",
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
    data = config.path_of(paths).read_bytes()
    assert data.count(b"\r\n") == (data.count(b"\n") if "\r" in text else 0)
    assert data.startswith("\ufeff".encode()) == text.startswith("\ufeff")
    written = data.decode().removeprefix("\ufeff").splitlines()
    comments = [line for line in text.strip("\ufeff").splitlines() if line.startswith("#")]
    assert [line for line in written if line.startswith("#")] == comments


def test_the_first_key_brings_the_commented_file(paths: Paths, tmp_path: Path) -> None:
    """In place of its example; all else says the defaults, and stays when another is set."""
    config.watched(paths, add=[tmp_path])
    text = config.path_of(paths).read_text(encoding="utf-8")
    line = f'watch = ["{tmp_path}"]'
    assert text == config.TEMPLATE.replace('#watch = ["~/notes"]', line)
    assert config.load(paths) == Settings(watch=(tmp_path,))

    config.watched(paths, remove=[tmp_path])
    assert config.path_of(paths).read_text(encoding="utf-8") == text.replace(line, "watch = []")


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


def test_of_folders_that_are_added_and_removed_at_once_none_is_lost(tmp_path: Path) -> None:
    """Whoever says so at the same time, each is in the file, and each is out of it."""
    paths = Paths.from_environment({"AFTERWORD_HOME": str(tmp_path / "home")})
    folders = [tmp_path / f"notes-{n}" for n in range(8)]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(len(folders)) as people:
        list(people.map(lambda folder: config.watched(paths, add=[folder]), folders))
        assert {*config.watched(paths)} == {*folders}
        list(people.map(lambda folder: config.watched(paths, remove=[folder]), folders))
        assert config.watched(paths) == ()
