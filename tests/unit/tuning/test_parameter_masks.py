"""SSU and FGGM: the parameters that they choose, against a literal reading of their descriptions in
float64, and training that changes nothing else.
"""

import numpy as np
import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from ctsft import TuneConfig, Watch, apply_delta, finetune
from ctsft.model.loading import wrap
from ctsft.tuning import parameter_masks
from ctsft.tuning.parameter_masks import informed_rows, load_parts, save_parts, shielded_columns
from support.errors import said
from support.naive_tuning import farthest, float64, naive_fisher, naive_tuning
from support.tasks import cued
from support.tiny import tiny
from support.training import bits, same, stopping, trespassers

ROWS, SOURCE = cued(12), cued(10, seed=5)
ROUGH = TuneConfig(
    epochs=4, learning_rate=1e-2, batch_size=12, weight_decay=0.1, max_grad_norm=0.05
)
HELD = ROUGH.model_copy(update={"hold": 9.0})
MASKS = ("ssu", "fggm")


def encoded(model, task, rows):
    tokens = task.label_ids(model)
    return [(task.encode(model, row), tokens[row.label]) for row in rows]


def everything(model):
    named = model.hf.named_parameters()
    return {name: torch.ones_like(value, dtype=torch.bool) for name, value in named}


def literal_ssu(model, task=None, rows=None):
    """{parameter: bool mask}: column by column, with the inputs that the blocks' maps got."""
    masks, inputs = everything(model), {}
    blocks = ("layers.", ".h.", "encoder.layer.")
    maps = {
        name: module
        for name, module in model.hf.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and any(part in name for part in blocks)
    }
    for name, module in maps.items():
        module.register_forward_pre_hook(
            lambda module, args, name=name: inputs.setdefault(name, []).append(args[0][0])
        )
    with torch.no_grad():
        for ids, _ in rows or encoded(model, task, SOURCE):
            model.hf(torch.tensor([ids]))
    for name, module in maps.items():
        x = torch.cat(inputs[name])  # [token, in]
        weight = module.weight.T if isinstance(module, Conv1D) else module.weight  # [out, in]
        scores = []
        for j in range(weight.shape[1]):
            norm = sum(value**2 for value in x[:, j].tolist()) ** 0.5
            scores.append(sum(abs(value) * norm for value in weight[:, j].tolist()))
        for j in sorted(range(len(scores)), key=lambda j: -scores[j])[: len(scores) // 2]:
            if isinstance(module, Conv1D):
                masks[f"{name}.weight"][j] = False
            else:
                masks[f"{name}.weight"][:, j] = False
    return masks


def literal_fggm(model, task):
    """{parameter: bool mask}: above the 0.7-quantile of the information of each output."""
    masks = everything(model)
    fisher = naive_fisher(model, task, masks, ROWS)
    transposed = [n for n, m in model.hf.named_modules() if isinstance(m, Conv1D)]
    for name, value in fisher.items():
        if value.ndim == 1:
            masks[name] &= value > np.quantile(value.numpy(), 0.7)
            continue
        across = 0 if name.removesuffix(".weight") in transposed else 1
        scores = value.sum(across, keepdim=True)
        masks[name] &= scores > np.quantile(scores.numpy(), 0.7)
    model.hf.requires_grad_(False).zero_grad()
    return masks


LITERAL = {"ssu": literal_ssu, "fggm": literal_fggm}


def masks_of(model, parts):
    masks = everything(model)
    for name, part in parts.items():
        masks[name] = torch.zeros_like(masks[name]).index_fill(part.dim, part.index, True)
    return masks


@pytest.mark.parametrize("family", ["qwen2", "gpt2", "llama"])
@pytest.mark.parametrize("what", MASKS)
def test_what_is_chosen_is_that_of_the_description(build, task, family, what):
    model, literal = (float64(build(family)) for _ in range(2))
    choose, rows = (shielded_columns, SOURCE) if what == "ssu" else (informed_rows, ROWS)
    chosen = masks_of(model, choose(model, encoded(model, task, rows), None))
    expected = LITERAL[what](literal, task)
    assert all(torch.equal(chosen[name], mask) for name, mask in expected.items())
    # the control: other rows choose others
    others = masks_of(model, choose(model, encoded(model, task, cued(2, seed=9)), None))
    assert any(not torch.equal(others[name], mask) for name, mask in expected.items())


@pytest.mark.parametrize("family", ["bert", "gemma2", "gpt_neox"])
def test_other_families_are_shielded_likewise(family):
    """An encoder with norms after each add, norms on both sides, one map for queries, keys and
    values.
    """
    model, literal = (float64(wrap(tiny(family), None)) for _ in range(2))
    rows = [([1, 5, 7, 9], 1), ([2, 8, 3], 2)]
    chosen = masks_of(model, shielded_columns(model, rows))
    expected = literal_ssu(literal, rows=rows)
    assert all(torch.equal(chosen[name], mask) for name, mask in expected.items())
    frozen = sum(int((~mask).sum()) for mask in chosen.values())
    assert frozen == parameter_masks.shielded_count(model) > 0.2 * model.n_params
    trained = masks_of(model, informed_rows(model, rows))
    share = sum(int(mask.sum()) for mask in trained.values()) / model.n_params
    assert 0.05 < share < 0.35


@pytest.mark.parametrize("config", [ROUGH, HELD])
@pytest.mark.parametrize(("what", "family"), [("ssu", "gpt2"), ("fggm", "qwen2")])
def test_training_is_that_of_masked_numbers_to_1e_6(build, task, what, family, config):
    """Weight decay, momentum and clipping act on what is trained and on nothing else."""
    model, literal = (float64(build(family)) for _ in range(2))
    masks, before = LITERAL[what](float64(build(family)), task), bits(model.hf)
    result = finetune(model, task, what, ROWS, {}, config, source=SOURCE)
    naive_tuning(literal, task, masks, config, SOURCE, [ROWS] * 4)
    assert farthest(model, literal) < 1e-6
    assert result.trainable == sum(int(mask.sum()) for mask in masks.values())
    wide = {name: mask.repeat_interleave(2, -1) for name, mask in masks.items()}
    assert trespassers(before, bits(model.hf), wide) == []
    naive_tuning(free := float64(build(family)), task, everything(free), config, SOURCE, [ROWS] * 4)
    assert farthest(model, free) > 1e-3


@pytest.mark.parametrize("what", MASKS)
@pytest.mark.parametrize("changes", [{"kv": "expand"}, {"precision": "bf16", "accumulate": 2}])
def test_the_delta_is_the_tuned_model_and_smaller_than_it(build, task, tmp_path, what, changes):
    model, path = build("qwen2"), tmp_path / "d.safetensors"
    if "precision" in changes:
        model.hf.to(torch.bfloat16)
        model.mark_changed()
    dtype = model.hf.dtype
    config = TuneConfig(epochs=2, learning_rate=1e-2, batch_size=4, **changes)
    result = finetune(model, task, what, ROWS, {}, config, source=SOURCE)
    result.delta.save(path)
    assert result.delta.size == result.trainable < 0.8 * result.model.n_params
    assert result.model.hf.dtype == dtype
    again = build("qwen2")
    again.hf.to(dtype)
    again.mark_changed()
    applied = apply_delta(again, path)
    values = dict(applied.hf.named_parameters())
    assert all(torch.equal(v, values[name]) for name, v in result.model.hf.named_parameters())


@pytest.mark.parametrize("what", MASKS)
def test_a_resumed_run_trains_what_it_trained_before(build, task, tmp_path, monkeypatch, what):
    whole, first, second = (build("gpt2") for _ in range(3))
    config = ROUGH.model_copy(update={"batch_size": 4, "eval_every": 2})
    finetune(whole, task, what, ROWS, {}, config, source=SOURCE)
    halted = Watch(stop=stopping(after=4), folder=tmp_path)
    assert finetune(first, task, what, ROWS, {}, config, halted, SOURCE).stopped
    monkeypatch.setitem(parameter_masks.MASKS, what, None)  # it is not chosen again, but read
    monkeypatch.setattr(parameter_masks, "mask_rows", None)
    resumed = Watch(folder=tmp_path, resume=True)
    monkeypatch.setattr("ctsft.tuning.finetune.mask_rows", lambda *_: [])
    finetune(second, task, what, ROWS, {}, config, resumed, SOURCE)
    assert same(second, whole) and not same(second, first)


def test_the_chosen_parts_are_read_as_they_were_written(build, task, tmp_path):
    model = build("llama")
    parts = informed_rows(model, encoded(model, task, ROWS), None)
    save_parts(parts, tmp_path / "folder" / "parts")
    read = load_parts(tmp_path / "folder" / "parts")
    assert list(read) == list(parts) or set(read) == set(parts)
    assert all(torch.equal(read[name].index, part.index) for name, part in parts.items())
    assert all(read[name].dim == part.dim for name, part in parts.items())
    (tmp_path / "other").write_bytes(b"torn")
    said(lambda: load_parts(tmp_path / "other"), "not a safetensors file", "start the run again")


def test_source_rows_are_needed_where_they_choose(build, task):
    said(lambda: finetune(build("gpt2"), task, "ssu", ROWS, {}, ROUGH), "'ssu'", "source=")
    finetune(build("gpt2"), task, "fggm", ROWS, {}, ROUGH.model_copy(update={"epochs": 1}))
