"""LoRA runs: adapters where they were asked for, gone afterwards, and the weight they leave is W +
scale B A.
"""

import pytest
import torch

from ctsft import Circuit, finetune, trainable_of
from ctsft.model.batching import pad
from ctsft.model.forward import readout_logits
from ctsft.tuning.config import TuneConfig
from ctsft.tuning.finetune import Watch
from ctsft.tuning.lora import adapters
from ctsft.tuning.lora_settings import Lora
from ctsft.tuning.trainable import Trainable
from support.errors import said
from support.tasks import cued
from support.training import QUICK, bits, may_move, trespassers

CIRCUIT = Circuit(frozenset({(0, 1), (2, 3)}))


@pytest.mark.parametrize("family", ["qwen2", "gpt2", "mistral"])
def test_only_the_adapted_maps_of_the_circuits_layers_change(build, task, family):
    model = build(family)
    before, names = bits(model.hf), list(model.hf.state_dict())
    result = finetune(
        model,
        task,
        trainable_of(model, "lora_circuit", CIRCUIT),
        cued(12),
        {},
        QUICK.model_copy(update={"weight_decay": 0.1}),
    )
    module = (
        "attn.c_attn.weight"
        if family == "gpt2"
        else ("self_attn.q_proj.weight", "self_attn.v_proj.weight")
    )
    masks = may_move(model.hf, ())
    for name, mask in masks.items():
        mask[:] = name.endswith(module) and ".1." not in name
    changed = [name for name, value in bits(model.hf).items() if (before[name] != value).any()]
    assert trespassers(before, bits(model.hf), masks) == [] and len(changed) == (
        2 if family == "gpt2" else 4
    )
    width = 32 + 96 if family == "gpt2" else 32 + 32 + 32 + 16
    assert (
        result.trainable == 2 * 8 * width == result.delta.size
        and list(model.hf.state_dict()) == names
    )
    assert not hasattr(model.hf, "peft_config") or not model.hf.peft_config
    # the control: every layer, and it works a second time
    finetune(model, task, "lora", cued(12), {}, QUICK)
    assert len(
        [name for name, value in bits(model.hf).items() if (before[name] != value).any()]
    ) > len(changed)


@pytest.mark.parametrize("family", ["qwen2", "gpt2"])
def test_the_tuned_model_computes_what_the_adapted_one_did(build, family):
    model, batch = build(family), pad([[5, 9, 31, 60, 2], [3, 7, 1]], "cpu")
    lora = Lora(rank=3, alpha=5, targets=("q", "o", "down"))
    with torch.no_grad():
        plain = readout_logits(model.hf, batch)
    with adapters(model, Trainable(adapted=(0, 2)), lora) as adapted, torch.no_grad():
        hf = adapted.hf
        # B starts at 0
        assert torch.allclose(readout_logits(hf, batch), plain, atol=1e-6)
        for value in hf.parameters():
            if value.requires_grad:
                value += 0.2 * torch.randn(value.shape, generator=torch.Generator().manual_seed(1))
        inside = readout_logits(hf, batch)
    with torch.no_grad():
        assert torch.equal(readout_logits(model.hf, batch), plain)
        factors = adapted.factors
        for name in {name.partition(":")[0] for name in factors}:
            dict(model.hf.named_parameters())[name].add_(
                factors[name + ":left"] @ factors[name + ":right"]
            )
        assert (
            torch.allclose(readout_logits(model.hf, batch), inside, atol=1e-4)
            and (inside - plain).abs().max() > 0.1
        )


def test_first_values_follow_the_seed_and_disturb_no_other(build):
    def first(seed):
        model, state = build("qwen2"), torch.get_rng_state()
        with adapters(model, Trainable(adapted=(1,)), Lora(seed=seed)) as adapted:
            pass
        assert torch.equal(torch.get_rng_state(), state)
        return adapted.factors["model.layers.1.self_attn.q_proj.weight:right"]

    assert torch.equal(first(1), first(1)) and not torch.equal(first(1), first(2))


def test_a_stopped_run_resumes_to_the_same_bits(build, task, tmp_path):
    whole, first, second = (build("qwen2") for _ in range(3))
    finetune(whole, task, "lora", cued(12), {}, QUICK)
    steps = []
    finetune(
        first,
        task,
        "lora",
        cued(12),
        {},
        QUICK,
        Watch(stop=lambda: steps.append(1) or len(steps) >= 4, folder=tmp_path),
    )
    finetune(second, task, "lora", cued(12), {}, QUICK, Watch(folder=tmp_path, resume=True))
    a, b, c = (bits(model.hf) for model in (whole, second, first))
    assert all(torch.equal(a[name], b[name]) for name in a) and not all(
        torch.equal(a[name], c[name]) for name in a
    )


def test_wrong_settings_are_refused(build, task):
    said(lambda: Lora(targets=("q", "w")), "'w'", "q, k, v, o, gate, up, down")
    said(lambda: Lora(targets=()), "''")
    said(
        lambda: finetune(
            build("gpt2"), task, "lora", cued(3), {}, TuneConfig(lora_targets=("gate",))
        ),
        "none of the maps gate",
    )
    said(lambda: trainable_of(build("gpt2"), "lora_circuit"), "needs heads")
