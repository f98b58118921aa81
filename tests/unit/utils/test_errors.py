"""What a sentence quotes of a value, whatever the value."""

import pytest

from ctsft.utils.errors import LONGEST_QUOTE, cut, quoted


class Broken:
    def __repr__(self):
        raise RuntimeError("no spelling")


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10**6,
        b"x" * 10**6,
        list(range(10**5)),
        10**5000,
        nested(100_000),
        Broken(),
        "a\nb" * 60,
    ],
    ids=["text", "bytes", "list", "number", "nested", "broken", "lines"],
)
def test_a_quotation_is_one_short_line_whatever_came(value):
    assert len(quoted(value)) <= LONGEST_QUOTE and "\n" not in quoted(value)
    if not isinstance(value, int):  # Python refuses to write such a number
        assert len(cut(value if isinstance(value, str) else "x\n" * 500)) <= LONGEST_QUOTE


@pytest.mark.parametrize("value", ["word", 3, None, ["a", 1], {"a": 1}])
def test_a_short_value_is_quoted_as_it_is(value):
    assert quoted(value) == repr(value)
    assert cut("two\n words") == "two words"
