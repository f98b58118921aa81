"""How many parameters a circuit trains, and which heads share them."""

import torch
import transformers as tf

from ctsft.tuning.trainable import (
    heads_sharing_kv,
    linear_slices,
    trainable_count,
    trainable_share,
)
from support.errors import said
from support.training import HEADS


def test_touched_heads_share_key_value_rows_and_stand_outside(loaded):
    assert (
        heads_sharing_kv(loaded["qwen2"], {(0, 1), (2, 2), (2, 3)}) == {(0, 0)}
        and heads_sharing_kv(loaded["gpt2"], HEADS) == set()
    )
    assert (
        heads_sharing_kv(loaded["llama"], HEADS) == {(0, 0), (2, 1), (2, 2)}
        and heads_sharing_kv(loaded["llama"], ()) == set()
    )


def test_shared_rows_count_once_by_group_and_for_each_head_when_expanded(loaded):
    """Qwen2: 8 rows of 32 and a bias for q, k and v, 8 columns of 32 for o; seven norms."""
    model, norms, rows, columns = loaded["qwen2"], 7 * 32, 8 * 33, 8 * 32
    for heads, group, expand in (
        ({(0, 0)}, 3, 3),
        ({(0, 0), (0, 1)}, 4, 6),
        ({(0, 0), (0, 2)}, 6, 6),
        ({(0, 0), (1, 1)}, 6, 6),
    ):
        assert trainable_count(model, heads) == norms + group * rows + len(heads) * columns
        assert (
            trainable_count(model, heads, "expand") == norms + expand * rows + len(heads) * columns
        )
    assert (
        trainable_count(loaded["gpt2"], {(0, 0), (0, 1)})
        == 7 * 64 + 2 * (3 * rows + columns)
        == trainable_count(loaded["gpt2"], {(0, 0), (0, 1)}, "expand")
    )
    said(lambda: trainable_count(model, {(0, 0)}, "both"), "'both'", "group, expand")
    assert len({part.linear.module for part in linear_slices(model, HEADS)}) == len(
        linear_slices(model, HEADS)
    )


def test_the_share_is_the_papers_on_qwen_without_any_weights():
    """6, 12 and 18 heads with all norms are 0.23, 0.44 and 0.66 %. The paper counts 630.5 M numbers
    and Hugging Face's model, untied, has 630.17 M; with biases of 0 where the model has none
    (output projection, MLP, unembedding: TransformerLens) it is 630.48 M.
    """
    config = tf.Qwen2Config(
        vocab_size=151936,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        tie_word_embeddings=False,
    )
    with torch.device("meta"):
        hf = tf.Qwen2ForCausalLM(config)
    assert (
        sum(value.numel() for value in hf.parameters()) == 630_167_424
        and 630_167_424 + 24 * (896 + 4864 + 896) + 151936 == 630_479_104
    )
    heads = [(layer, head) for layer in (20, 21, 22) for head in range(6)]
    assert [f"{trainable_share(hf, heads[:n], kv='expand'):.2%}" for n in (6, 12, 18)] == [
        "0.23%",
        "0.44%",
        "0.66%",
    ]
    # six of a group of seven share their rows
    assert trainable_share(hf, heads[:6]) < trainable_share(hf, heads[:6], "expand")
    assert trainable_share(hf, [[20, 0]]) == trainable_share(hf, [(20, 0)], "expand")
