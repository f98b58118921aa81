"""A part of the benchmark of bad inputs, and its control: what it counts as a fault."""

import random

import pytest

from benchmarks import fuzz, fuzz_damages
from ctsft.utils.errors import UserError


def test_300_bad_inputs_are_refused_in_a_sentence_or_accepted_rightly(loaded):
    counts = fuzz.fuzz(300, 1, 120.0, loaded["qwen2"])
    total = fuzz.total_of(counts)
    assert total.faults == [] and total.tried >= 300
    assert total.refused + total.accepted == total.tried and min(total.refused, total.accepted) > 50
    assert f"| all | {total.tried} | {total.refused} |" in fuzz.table_of(counts)


def fail(path):
    raise KeyError("heads")


def long(path):
    raise UserError("x" * 2000)


def lines(path):
    raise UserError("one\ntwo")


def leave(path):
    raise SystemExit(1)


@pytest.mark.parametrize(
    ("read", "check", "word"),
    [
        (fail, lambda value: True, "KeyError"),
        (long, lambda value: True, "2000 characters"),
        (lines, lambda value: True, "characters"),
        (leave, lambda value: True, "SystemExit"),
        (lambda path: 3, lambda value: False, "not right"),
    ],
)
def test_everything_else_is_a_fault(tmp_path, read, check, word):
    path, count = tmp_path / "x", fuzz.Count()
    path.write_bytes(b"input")
    fuzz.try_one(fuzz.Door("door", b"", fuzz_damages.damage_bytes, read, check), path, count)
    assert len(count.faults) == 1 and word in count.faults[0] and not count.refused


@pytest.mark.parametrize(
    ("damage", "right"),
    [
        (fuzz_damages.damage_document, b'{"a": [1, 2, {"b": "c"}]}'),
        (fuzz_damages.damage_table, b"id,text\n1,a\n2,b\n"),
        (fuzz_damages.damage_lines, b'{"a": 1}\n{"a": 2}\n'),
        (fuzz_damages.damage_bytes, b"some bytes"),
    ],
)
def test_damages_are_seeded_and_different(damage, right):
    made = [damage(right, random.Random(seed)) for seed in range(40)]
    assert made == [damage(right, random.Random(seed)) for seed in range(40)]
    assert len(set(made)) > 10 and sum(one != right for one in made) > 20
