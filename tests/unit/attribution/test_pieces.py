"""Wide elementwise steps in pieces that stay in the cache: the same bits as all at once."""

import pytest
import torch

from benchmarks.random_pass import mean_z, random_pass, random_texts
from ctsft.attribution.score_config import ScoreConfig
from ctsft.model import activations


@pytest.mark.parametrize("rules", ["paper", "symmetric"])
@pytest.mark.parametrize("family", ["gpt2", "qwen2"])
def test_scores_in_pieces_are_those_of_one_piece(loaded, family, rules, monkeypatch):
    model = loaded[family]
    texts = random_texts(model.hf.config.vocab_size, 3, 6)
    mu, config = mean_z(model, texts), ScoreConfig(rules=rules)
    whole = random_pass(model, texts, mu, config=config)
    seen = []
    cut = activations.pieces

    def counted(x):
        for piece in cut(x):
            seen.append(piece)
            yield piece

    monkeypatch.setattr("ctsft.attribution.cdt.pieces", counted)
    monkeypatch.setattr(activations, "PIECE", 500)
    assert torch.equal(random_pass(model, texts, mu, config=config), whole)
    monkeypatch.setattr(activations, "PIECE", 10**9)
    cut_small, seen[:] = len(seen), []
    random_pass(model, texts, mu, config=config)
    assert cut_small > 2 * len(seen) > 0


@pytest.mark.parametrize("limit", [1, 7, 40, 100, 10**6])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 1, 1, 9), (3, 2, 1, 2)])
def test_pieces_cover_everything_once(shape, limit, monkeypatch):
    monkeypatch.setattr(activations, "PIECE", limit)
    x = torch.zeros(shape)
    for piece in activations.pieces(x):
        x[(slice(None), *piece)] += 1
    assert bool((x == 1).all())
