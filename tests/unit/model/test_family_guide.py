"""The guide "Add a model family" of docs/extending.md, executed as it stands."""

import pytest
import torch
from torch import nn

from ctsft.attribution.means import label_balanced_means
from ctsft.attribution.score_heads import score_heads
from ctsft.model.architecture import Linear
from ctsft.model.families import FAMILIES
from ctsft.model.loading import wrap
from oracle.comparison import ROWS


def guide() -> str:
    """The code block of docs/extending.md, "Add a model family"."""
    from pathlib import Path

    text = (Path(__file__).parents[3] / "docs" / "extending.md").read_text(encoding="utf-8")
    section = text.split("## Add a model family", 1)[1]
    return section.split("```python\n", 1)[1].split("```", 1)[0]


def test_the_guide_adds_a_family_in_ten_lines(monkeypatch, task, tokenizer):
    """The guide's lines, executed as they stand, make a family work that was refused before; its
    scores are the oracle's.
    """
    import transformers as tf

    code = guide()
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 10 and max(map(len, lines)) <= 100
    names: dict = {}
    config = tf.StableLmConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        use_cache=False,
    )
    torch.manual_seed(0)
    hf = tf.StableLmForCausalLM(config).eval()
    for parameter in hf.parameters():
        nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.2)
    with pytest.raises(ValueError, match="'stablelm', which is not supported"):
        wrap(hf, tokenizer)
    # what the lines add to the table is taken out again after the test
    monkeypatch.setitem(FAMILIES, "stablelm", None)
    exec(code, names)
    model = wrap(hf, tokenizer)
    means = label_balanced_means(model, task, ROWS)
    scores = score_heads(model, task, ROWS, means)
    assert torch.isfinite(scores.per_example).all() and scores.values.abs().max() > 1e-3
    ablated = score_heads(model, task, ROWS, means, "ablation")
    last = {head for layer, head in scores.ranking() if layer == 2}
    assert (
        last == set(range(4))
        and isinstance(model.blocks[0].q, Linear)
        and torch.isfinite(ablated.per_example).all()
    )
