"""Designs that cannot be run are refused in one sentence, before any trial."""

import json

import pytest

from ctsft.jobs import tuning_table
from ctsft.jobs.experiment_design import Design, read_design
from support.errors import said
from support.experiment import go


@pytest.mark.parametrize(
    ("change", "words_said"),
    [
        ({"methods": ["best"]}, ("'best'", "circuit")),
        ({"targets": []}, ("targets",)),
        ({"n": [0]}, ("n has to be",)),
        ({"typo": 1}, ("typo",)),
        ({"seeds": [1, 1]}, ("twice",)),
        ({"settings": [{"learning_rates": [1e-3]}]}, ("choose",)),
        ({"settings": [{"name": "a"}, {"name": "a"}]}, ("same name",)),
    ],
)
def test_a_design_that_cannot_be_run_is_refused_in_one_sentence(
    words, tmp_path, change, words_said
):
    path = tmp_path / "design.json"
    path.write_text(json.dumps(words | change))
    said(lambda: read_design(path), *words_said)


def test_what_the_rows_cannot_give_is_refused_before_any_cell(words):
    said(lambda: go(Design(**words | {"n": [500]})), "n = 500", "pool B")
    said(lambda: go(Design(**words | {"targets": ["latin"]}), "two"), "latin")
    said(lambda: go(Design(**words | {"k": 99}), "three"), "k is 99")
    said(lambda: go(Design(**words | {"discovery": {"sise": 6}}), "four"), "sise")
    said(lambda: go(Design(**words), "five", jobs=0), "jobs is 0")
    said(lambda: read_design("nowhere.json"), "nowhere.json")
    assert tuning_table.table_rows() == []
