"""What the low rank of a source would save: hand-made shapes."""

import pytest

from benchmarks import low_rank
from ctsft.attribution.cost_estimate import propagation_operations
from ctsft.model.footprint import Shape

TWO_LAYERS = Shape(2, 4, 4, 2, 8, 32, 10)


def test_the_saving_is_that_of_the_first_layers_input_map():
    texts, pos = 10, 6
    before = texts * sum(propagation_operations(TWO_LAYERS, pos, layer) for layer in (0, 1))
    # 8 products a token become 2, and the head's own product of 2 x 8 x 32 is made once
    after = before - 2 * texts * pos * (8 - 2) * 32 + 2 * 2 * 8 * 32
    faster = low_rank.savings(TWO_LAYERS, texts, pos, batch=10)
    assert faster["once a pass"] == faster["once a batch"] == pytest.approx(before / after)


def test_where_the_products_cost_more_than_they_save_nothing_is_saved():
    faster = low_rank.savings(TWO_LAYERS, 10, 1, batch=1)
    assert faster["once a batch"] == 1.0 < faster["once a pass"]


def test_the_table_names_every_shape(capsys):
    low_rank.main([])
    out = capsys.readouterr().out
    assert all(name in out for name in low_rank.SHAPES)
