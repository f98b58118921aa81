"""A real pretrained model, which the environment names: `make test-real MODEL=FOLDER DATA=FOLDER`.

Its scores on real texts are the naive oracle's. Any supported causal language model will do; the
one this was written with is SmolLM2-135M (30 layers of 9 heads, 3 key/value heads).
"""

import os
import random

import pytest
import torch

import ctsft
from oracle import naive

FOLDER = os.environ.get("CTSFT_TEST_MODEL")
pytestmark = pytest.mark.skipif(
    not FOLDER,
    reason="CTSFT_TEST_MODEL is not set: it names the folder of a pretrained causal language model",
)


@pytest.fixture(scope="module")
def scored(real_data):
    torch.set_num_threads(os.cpu_count() or 1)
    model = ctsft.load_model(FOLDER, device="cpu")
    task = ctsft.load_task("nusax", data_dir=real_data / "nusax")
    rows = task.load("english", "train")
    right = [
        row
        for row, label in zip(rows[:60], ctsft.predict(model, task, rows[:60]), strict=True)
        if row.label == label
    ][:4]
    # means need every label
    pool = right + [row for row in rows if row.label not in {one.label for one in right}][:2]
    return model, task, right, ctsft.label_balanced_means(model, task, pool)


def test_five_heads_are_the_oracles(scored):
    """Four English texts, all heads by the library, five drawn ones by the oracle in float64."""
    model, task, rows, means = scored
    scores = ctsft.score_heads(model, task, rows, means)
    assert torch.isfinite(scores.per_example).all() and scores.values.shape == (
        model.n_layers,
        model.n_heads,
    )
    labels, largest = task.label_ids(model), scores.per_example.abs().max().item()
    for layer, head in random.Random(0).sample(model.heads, 5):
        ids, gold = task.encode(model, rows[0]), labels[rows[0].label]
        theirs = naive.relevance(
            model.hf,
            ids,
            gold,
            list(labels.values()),
            layer,
            head,
            means.values[layer, head].double(),
        )
        mine = scores.per_example[0, layer, head].item()
        print(f"L{layer}.H{head}: {mine:+.6f}, oracle {theirs:+.6f}")
        assert abs(mine - theirs) < 3e-4 * max(largest, abs(theirs))
