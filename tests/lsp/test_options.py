"""An editor's settings: what they may be, and what becomes of those that are wrong."""

from typing import Any

import pytest
from afterword_lsp.options import EAGERNESS, Options, parse
from afterword_trainer.model import suggestion
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        (None, {}),
        ({}, {}),
        ({"temperature": 1, "max_characters": 40}, {"temperature": 1.0, "max_characters": 40}),
        ({"maxCharacters": 40, "multiline": True}, {"max_characters": 40, "multiline": True}),
        ({"eagerness": "quiet"}, {"eagerness": EAGERNESS["quiet"]}),
        (
            {"eagerness": 0.3, "seed": 7, "alternatives": 2.0},
            {"eagerness": 0.3, "seed": 7, "alternatives": 2},
        ),
        ({"enable": False}, {"enable": {"*": False}}),
        ({"enable": {"*": True, "python": False}}, {"enable": {"*": True, "python": False}}),
        ({"trigger": "manual", "temperature": None}, {"trigger": "manual"}),
        ({"path": "/bin/x", "trace": {"server": "off"}}, {}),
    ],
)
def test_settings_as_they_may_be(settings: Any, changes: dict[str, Any]) -> None:
    """Either way of writing names; null is unset; what a plug-in keeps for itself is left alone."""
    assert parse(settings) == (Options(**changes), ())


@pytest.mark.parametrize(
    ("settings", "about"),
    [
        ([], "object"),
        ("quiet", "object"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 10**400}, "temperature"),
        ({"temperature": 3}, "0 to 2"),
        ({"temperature": True}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"max_characters": 1.5}, "max_characters"),
        ({"multiline": "yes"}, "multiline"),
        ({"enable": {"python": "no"}}, "enable"),
        ({"enable": 1}, "enable"),
        ({"trigger": ["auto"]}, "trigger"),
        ({"eagerness": "loud"}, "quiet"),
        ({"eagerness": {}}, "eagerness"),
        ({"eagernes": "quiet"}, 'did you mean "eagerness"'),
    ],
)
def test_a_wrong_setting_is_described_and_left_at_its_default(settings: Any, about: str) -> None:
    """One phrase that names it."""
    options, mistakes = parse(settings)
    assert options == Options()
    assert len(mistakes) == 1
    assert about in mistakes[0]


def test_the_others_stand() -> None:
    """One mistake costs one setting."""
    options, mistakes = parse({"temperature": 9, "seed": 3})
    assert (options, len(mistakes)) == (Options(seed=3), 1)


def test_eagerness_is_the_trainers() -> None:
    """Written twice, since this process must not load the other."""
    assert dict(EAGERNESS) == suggestion.EAGERNESS


@pytest.mark.parametrize(
    ("enable", "python", "markdown"),
    [
        ({}, True, True),
        ({"*": False}, False, False),
        ({"*": False, "markdown": True}, False, True),
        ({"python": False}, False, True),
    ],
)
def test_languages(enable: dict[str, bool], python: bool, markdown: bool) -> None:
    """The most exact name counts."""
    options = Options(enable=enable)
    assert (options.enables("python"), options.enables("markdown")) == (python, markdown)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)
names = st.sampled_from(["enable", "trigger", "maxCharacters", "eagerness", "seed", "popup", "x"])


@given(values | st.dictionaries(names, values))
def test_no_settings_are_an_error(settings: object) -> None:
    """Whatever an editor sends, there are options."""
    options, _ = parse(settings)
    options.for_request()
