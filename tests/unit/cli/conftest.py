"""A scoring run from the shell."""

import json

import pytest


@pytest.fixture
def scored(shell, tiny_words, home) -> dict:
    code, out, err = shell("score", *tiny_words, "--size", 6, "--json")
    assert (code, err) == (0, [])
    return json.loads(out)
