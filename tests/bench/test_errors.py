"""Exceptions in one line, in four degrees."""

import pytest

from bench.errors import first_line, kind_and_line, kind_line_and_place, whole_text


def raised(*said):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # whatever it says
        raise ValueError(*said)
    return caught.value


def test_what_no_file_could_hold_is_written_otherwise():
    error = raised("caf\udce9 " + 10**6 * "x")
    for say in (first_line, kind_and_line, kind_line_and_place, whole_text):
        told = say(error)
        assert "caf\\udce9 xxx" in told
        assert told.encode()
        assert len(told) < 11_000


@pytest.mark.parametrize(
    ("text", "first", "whole"),
    [
        ("no such key", "no such key", "no such key"),
        ("\n  no such\nkey \n", "no such", "no such key"),
        ("", "ValueError", "ValueError"),
        (" \n", "ValueError", "ValueError"),
    ],
)
def test_an_exception_is_said_in_a_line_whatever_it_says(text, first, whole):
    error = raised(text)
    assert first_line(error) == first
    assert whole_text(error) == whole
    told = "ValueError" if first == "ValueError" else f"ValueError: {first}"
    assert kind_and_line(error) == told


def test_the_place_is_where_an_exception_was_raised_if_it_was():
    assert kind_line_and_place(raised("no")).startswith("ValueError: no (test_errors.py:")
    assert kind_line_and_place(raised()).startswith("ValueError: no message (test_errors.py:")
    assert kind_line_and_place(ValueError("no")) == "ValueError: no"
