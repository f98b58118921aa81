"""What heads and key/value groups add to the trainable parameters, against the library's count."""

import random

import pytest

from ctsft.tuning.trainable import trainable_count
from explorer.session import inputs, parameter_parts
from support.models import FAMILIES


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_parts_add_up_to_the_library_s_count(family, loaded, monkeypatch):
    model = loaded[family]
    monkeypatch.setattr(inputs, "load_model", lambda name: model)
    parts = parameter_parts.parameter_parts.__wrapped__(family, model.fingerprint)
    every_head = [(layer, head) for layer in range(model.n_layers) for head in range(model.n_heads)]
    draw = random.Random(0)
    for size in (0, 1, 2, len(every_head) // 2, len(every_head)):
        heads = draw.sample(every_head, size)
        groups = {(layer, head // parts["per_group"]) for layer, head in heads}
        count = parts["base"] + sum(parts["head"][layer] for layer, _ in heads)
        count += sum(parts["group"][layer] for layer, _ in groups)
        assert count == trainable_count(model, heads), (family, size)
    assert parts["total"] == model.n_params
