"""Tables as a person reads them."""

from __future__ import annotations

from carousel.tasks.printed import ruled


def test_words_stand_left_and_numbers_right_under_a_rule_as_wide_as_the_header() -> None:
    found = ruled(["model", "nats"], [["ours", "1.5"], ["a longer name", "12.25"]])
    assert found == [
        "model           nats",
        "--------------------",
        "ours             1.5",
        "a longer name  12.25",
    ]


def test_blanks_at_the_end_of_a_line_are_left_out() -> None:
    assert ruled(["a", "b"], [["x", ""]]) == ["a  b", "----", "x"]
