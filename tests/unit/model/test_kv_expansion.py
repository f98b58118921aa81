"""The equal model with key/value rows of its own for each query head."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from ctsft import Circuit, TuneConfig, expand, finetune, load_model, trainable_count
from ctsft.model.batching import pad
from ctsft.model.forward import readout_logits
from ctsft.model.loading import wrap
from support.tasks import cued
from support.tiny import DECODERS, tiny
from support.training import HEADS, bits, may_move, trespassers

GROUPED = [family for family in DECODERS if family not in ("gpt2", "gpt_neox")]


BATCH = pad([[5, 9, 31, 60, 2, 8, 1], [3, 7, 1]], "cpu")


@pytest.mark.parametrize("kv_heads", [2, 1])
@pytest.mark.parametrize("family", GROUPED)
def test_every_family_gives_the_same_logits(family, kv_heads):
    model = wrap(tiny(family, num_key_value_heads=kv_heads), None, family)
    new = expand(model)
    with torch.no_grad():
        before, after = readout_logits(model.hf, BATCH), readout_logits(new.hf, BATCH)
    assert (before - after).abs().max() <= 1e-5 * before.abs().max().clamp(min=1)
    assert (new.n_kv_heads, new.n_heads, model.n_kv_heads) == (4, 4, kv_heads)
    with torch.no_grad():
        # the control: two heads' keys exchanged are seen
        key = new.blocks[0].k
        swapped = key.weight[torch.arange(32).roll(8)].clone()
        key.module.weight[key.rows] = swapped
        assert (readout_logits(new.hf, BATCH) - before).abs().max() > 1e-3 or kv_heads == 1


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma"])
def test_tied_embeddings_stay_tied(family):
    model = wrap(tiny(family, tie_word_embeddings=True), None, family)
    new = expand(model)
    assert new.hf.get_input_embeddings().weight is new.hf.get_output_embeddings().weight
    with torch.no_grad():
        assert torch.allclose(
            readout_logits(model.hf, BATCH), readout_logits(new.hf, BATCH), atol=1e-5
        )


def test_the_bundled_model_answers_the_same():
    model = load_model("demo", device="cpu")
    with torch.no_grad():
        before = readout_logits(model.hf, BATCH)
        assert (
            readout_logits(expand(model).hf, BATCH) - before
        ).abs().max() < 1e-5 * before.abs().max()


def test_a_model_without_groups_is_itself():
    model = wrap(tiny("gpt2"), None)
    assert expand(model) is model


def test_it_is_an_ordinary_folder(build, tmp_path):
    model = build("qwen2")
    new = expand(model)
    new.hf.save_pretrained(tmp_path)
    new.tokenizer.save_pretrained(tmp_path)
    ids = torch.tensor([[5, 9, 31, 60, 2]])
    with torch.no_grad():
        plain = AutoModelForCausalLM.from_pretrained(tmp_path)(ids).logits
        assert torch.allclose(plain, model.hf(ids).logits, atol=1e-5)
    assert load_model(tmp_path, device="cpu").n_kv_heads == 4


@pytest.mark.parametrize("family", ["qwen2", "llama", "mistral"])
def test_what_moves_is_what_was_counted_and_no_neighbour_moves(build, task, family):
    """One head of a group: its own key/value rows move and its neighbour's do not; counted on the
    model that was given.
    """
    model, untouched = build(family), bits(build(family).hf)
    twin = expand(build(family))
    before, masks = bits(twin.hf), may_move(twin.hf, ())
    for layer, head in HEADS:
        head_slice, at = slice(head * 8, head * 8 + 8), f"model.layers.{layer}.self_attn."
        for module in ("q_proj", "k_proj", "v_proj"):
            for name in ("weight", "bias"):
                if f"{at}{module}.{name}" in masks:
                    masks[f"{at}{module}.{name}"][head_slice] = True
        masks[at + "o_proj.weight"][:, head_slice] = True
    config = TuneConfig(epochs=2, learning_rate=1e-2, batch_size=4, weight_decay=0.1, kv="expand")
    result = finetune(model, task, Circuit(HEADS), cued(12), {}, config)
    after = bits(result.model.hf)
    assert result.model.n_kv_heads == 4 and trespassers(before, after, masks) == []
    assert (
        result.trainable
        == trainable_count(model, HEADS, "expand")
        == sum(mask.sum().item() for mask in masks.values())
    )
    # the model given stays
    assert (
        result.total == model.n_params
        and trespassers(untouched, bits(model.hf), may_move(model.hf, ())) == []
    )
    key = "model.layers.0.self_attn.k_proj.weight"
    assert (before[key] != after[key])[8:16].any() and not (before[key] != after[key])[:8].any()
    # the control
    group = finetune(
        model, task, Circuit(HEADS), cued(12), {}, config.model_copy(update={"kv": "group"})
    )
    assert group.model is model and (untouched[key] != bits(model.hf)[key])[:8].any()


@pytest.mark.parametrize("family", GROUPED)
def test_the_count_is_that_of_the_expanded_model(family):
    model = wrap(tiny(family), None)
    heads = {(0, 0), (0, 1), (2, 3)}
    assert (
        trainable_count(model, heads, "expand")
        == trainable_count(expand(model), heads)
        > trainable_count(model, heads)
    )
