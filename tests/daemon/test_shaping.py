"""What fits at the cursor, as tables."""

import pytest
from afterword_daemon.shaping import Misfit, Shaped, shape, spells_secret
from hypothesis import given
from hypothesis import strategies as st


def check(
    text: str, *, rest: str = "", before: str = "", after: str = "", indentation: str = "\t"
) -> str:
    """How `text` fits, as "text" or "text<replaces>" or the name of the misfit.

    `rest` is expected behind it.
    """
    shaped = shape(text, expected=text + rest, before=before, after=after, indentation=indentation)
    if isinstance(shaped, Misfit):
        return shaped.name
    return shaped.text + (f"<{shaped.replaces}>" if shaped.replaces else "")


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("hello world", "", "hello world"),
        ("hello)", ")", "hello"),  # the closer is there
        ("a, b)", ")", "a, b"),
        ("f(x)", ")", "f(x)"),  # its own pair
        ("f(x))", ")", "f(x)"),
        ("x) + y", ")", "x) + y<1>"),  # goes on behind the closer
        ('name"', '"', "name"),
        ('name", other', '"', 'name", other<1>'),
        ('name")', '")', "name"),
        ("([0])", "])", "([0])"),
        ("don't go", ")", "don't go"),
        ("river rose", " rose again", "river"),  # what follows is there
        ("rose again", "rose again", "OVERLAP"),
        ("e river", "river bed", "NOTHING"),  # one character is left
        ("other", "r side", "other"),  # an accident, within words
        ("the cat", "category", "the cat"),
        ("rose in the nig", "in the night", "rose"),  # long enough to be none
        ("in the nig", "in the night", "OVERLAP"),
        ("it", "item", "OVERLAP"),
        ("one\ntwo", "three", "one"),  # the rest of the line would be pushed down
        ("one\ntwo", "  ", "one\ntwo"),
        ("one\ntwo", "\r", "one\ntwo"),
    ],
)
def test_nothing_that_stands_right_of_the_cursor_comes_twice(
    text: str, after: str, expected: str
) -> None:
    """Overlap goes; a closer that an editor made is stood for."""
    assert expected == check(text, after=after)


@pytest.mark.parametrize(
    ("text", "before", "expected"),
    [
        ("word  \nnext\t\n", "a ", "word\nnext\n"),
        ("    ", "if x:\n", "    "),  # an indentation
        ("    ", "a word", "NOTHING"),
        ("    ", "", "NOTHING"),  # where nothing is written yet, nothing is indented
        ("    ", "  \n", "NOTHING"),
        ("x", "a", "NOTHING"),  # one character saves no key
        ("ab\x07cd", "", "ab"),
        ("ab\rcd", "", "ab"),
        ("ab\u202ecd", "", "ab"),
        ("ab\ud800", "", "ab"),
        ("abc\ufffd", "", "abc"),
        ("ab\u2028cd", "", "ab"),
        ("👩\u200d", "", "NOTHING"),
        ("👩\u200d👧", "", "👩\u200d👧"),
        ("ab\n", "", "ab\n"),
    ],
)
def test_only_what_can_be_seen_is_inserted(text: str, before: str, expected: str) -> None:
    """No trailing blanks, no controls, nothing that is half a character or turns text around."""
    assert expected == check(text, before=before, indentation="    ")


@pytest.mark.parametrize(
    ("text", "rest", "after", "expected"),
    [
        ("word ", "next", "", "word "),
        ("word ", "", "", "word "),
        ("word ", "\n", "", "word"),
        ("word ", "next", " there", "word"),
        ("word  ", "next", "", "word "),
        ("word\t", "next", "", "word"),
        ("word\n ", "next", "", "word\n"),
        ("x ", "next", "", "x "),
    ],
)
def test_a_blank_stays_behind_a_word_where_the_line_goes_on(
    text: str, rest: str, after: str, expected: str
) -> None:
    """It is a key saved, and no trailing blank."""
    assert expected == check(text, rest=rest, before="a ", after=after)


@pytest.mark.parametrize(
    ("text", "before", "indentation", "expected"),
    [
        ("\treturn x", "def f():\n", "    ", "    return x"),
        ("    return x", "def f():\n", "\t", "\treturn x"),
        ("        return x", "def f():\n", "\t", "\t\treturn x"),
        ("x\n\ty", "def f():\n", "  ", "x\n  y"),
        ("\treturn x", "a", "    ", "\treturn x"),  # no indentation there
        ("  x", "def f():\n", "\t", "  x"),  # less than a step
    ],
)
def test_indentation_is_the_documents_own(
    text: str, before: str, indentation: str, expected: str
) -> None:
    """Tabs or blanks, as the document has them."""
    assert expected == check(text, before=before, indentation=indentation)


@given(st.text(), st.text(), st.text(), st.sampled_from(("\t", "  ", "    ", "")))
def test_whatever_is_shaped_can_be_inserted(
    text: str, before: str, after: str, indentation: str
) -> None:
    """It is UTF-8 without controls, and stands for no more than there is."""
    shaped = shape(text, expected=text, before=before, after=after, indentation=indentation)
    if isinstance(shaped, Shaped):
        shaped.text.encode()
        assert len(shaped.text) >= 2
        assert not any(c < " " and c not in "\t\n" for c in shaped.text)
        assert 0 <= shaped.replaces <= len(after)


@pytest.mark.parametrize(
    ("before", "shown", "rest", "expected"),
    [
        ("password = '", "q8Zr4TnP", "0sXw7Lb2Vd9K'", True),  # its first half
        ("password = 'q8Zr", "4TnP0sXw7", "Lb2Vd9K'", True),  # its second
        ("", "AKIA", "IOSFODNN7EXAMPLQ", True),
        ("the wifi password is ", "BlueTulip77", "", True),
        ("my card: ", "4539 1488", " 0343 6467", True),
        ("password: ", "see the", " other page", False),
        ("The river ", "rose", " in the night", False),
        ("api_key = 'q8Zr4TnP0sXw7Lb2Vd9K'\n", "print(x)", "", False),  # it stands there already
        ("x = ", "1; ", "api_key = 'q8Zr4TnP0sXw7Lb2Vd9K'", False),  # not reached
    ],
)
def test_no_part_of_a_secret_is_shown(before: str, shown: str, rest: str, expected: bool) -> None:
    """Not even where the suggestion is cut before it is recognisable."""
    assert expected == spells_secret(shown + rest, shown, before=before)
