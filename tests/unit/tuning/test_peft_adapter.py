"""A head delta as a LoRA adapter: plain peft computes what the tuned model computes, merges to its
weights, and the adapter is small.
"""

import json
from collections import defaultdict

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

import ctsft
from ctsft import Circuit, Delta, apply_delta, export_adapter, finetune, load_model, predict
from ctsft.model.loading import wrap
from ctsft.tuning.delta import delta_of
from ctsft.tuning.trainable import Trainable, linear_slices, norm_parameters
from support.errors import said
from support.tasks import LABELS, cued
from support.tiny import DECODERS, ENCODERS, tiny
from support.training import HEADS, QUICK, bits

CASES = [
    *((family, "causal", {}) for family in DECODERS),
    *((family, "classes", {}) for family in ENCODERS),
    ("gpt2", "classes", {"pad_token_id": 0}),
    ("qwen2", "causal", {"tie_word_embeddings": True}),
]
ROWS = cued(120, 7)
CLASSES = {AutoModelForCausalLM: "causal", AutoModelForSequenceClassification: "classes"}


def in_memory(family, kind, changes, tokenizer):
    hf = tiny(family, 2, kind, **{"vocab_size": len(tokenizer)} | changes)
    if kind == "classes":
        hf.config.id2label = dict(enumerate(LABELS))
        hf.config.label2id = {label: i for i, label in enumerate(LABELS)}
    return wrap(hf, tokenizer)


@torch.no_grad()
def perturbed(model, path, heads=HEADS, size=0.3) -> Delta:
    """The delta of random changes of the heads' slices and all norms, written to `path`."""
    about = {"base": model.fingerprint, "what": "circuit", "kv": "group"}
    draw = torch.Generator().manual_seed(5)

    def changed(value):
        noise = torch.randn(value.shape, generator=draw, dtype=torch.float32)
        return value + (size * noise).to(value.dtype)

    for part in linear_slices(model, heads):
        part.write(changed(part.values), None if part.bias is None else changed(part.bias))
    for norm in norm_parameters(model):
        norm.copy_(changed(norm))
    delta = delta_of(model, Trainable(heads=frozenset(heads)), {}, about)
    delta.save(path)
    return delta


def written(model, folder):
    model.hf.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


def plain_base(folder, kind):
    auto = {kind: auto for auto, kind in CLASSES.items()}[kind]
    return auto.from_pretrained(folder, dtype=torch.float32)


@torch.no_grad()
def plain_answers(hf, model, task) -> list[str]:
    """Labels that a Hugging Face or peft model gives to ROWS; texts of one length go together."""
    ids, by_length = [task.encode(model, row) for row in ROWS], defaultdict(list)
    for number, row in enumerate(ids):
        by_length[len(row)].append(number)
    answers, labels = [""] * len(ids), task.label_ids(model)
    for numbers in by_length.values():
        batch = torch.tensor([ids[number] for number in numbers])
        logits = hf(input_ids=batch, attention_mask=torch.ones_like(batch)).logits
        logits = logits if logits.ndim == 2 else logits[:, -1]
        scores = logits[:, list(labels.values())]
        for number, best in zip(numbers, scores.argmax(-1).tolist(), strict=True):
            answers[number] = list(labels)[best]
    return answers


def test_every_family_is_among_the_cases():
    assert {family for family, _, _ in CASES} == set(ctsft.FAMILIES)


@pytest.mark.parametrize(("family", "kind", "changes"), CASES)
def test_plain_peft_gives_the_tuned_model(tokenizer, task, tmp_path, family, kind, changes):
    base = in_memory(family, kind, changes, tokenizer)
    folder, before = written(base, tmp_path / "base"), predict(base, task, ROWS)
    delta = perturbed(base, tmp_path / "d.safetensors")
    tuned, expected = base, predict(base, task, ROWS)
    assert expected != before  # the control: the change matters
    base = load_model(folder, "cpu")
    adapter = export_adapter(base, tmp_path / "d.safetensors", tmp_path / "adapter")
    peft = PeftModel.from_pretrained(plain_base(folder, kind), adapter).eval()
    assert plain_answers(peft, base, task) == expected
    merged = dict(peft.merge_and_unload().named_parameters())
    assert set(merged) == set(dict(tuned.hf.named_parameters()))
    for name, value in tuned.hf.named_parameters():
        torch.testing.assert_close(merged[name], value, rtol=0, atol=1e-6)
    assert torch.equal(
        bits(base.hf)[delta.names[0]], bits(plain_base(folder, kind))[delta.names[0]]
    )
    # through the library's own door
    again = load_model(adapter, "cpu")
    assert predict(again, task, ROWS) == expected
    values = sum(t.numel() * t.element_size() for t in delta.tensors.values())
    stored = load_file(adapter / "adapter_model.safetensors").values()
    assert sum(t.numel() * t.element_size() for t in stored) <= 2 * values


def settings(adapter) -> dict:
    return json.loads((adapter / "adapter_config.json").read_text())


def exported(base, delta, folder, **options):
    """The adapter's settings, and the merged model by `load_model`."""
    adapter = export_adapter(base, delta, folder, **options)
    return settings(adapter), load_model(adapter, "cpu")


@pytest.mark.parametrize(
    ("family", "what", "changes"),
    [
        ("qwen2", "norms", {}),
        ("qwen2", "lora", {}),
        ("gpt2", "lora", {"lora_targets": ("q", "o", "up")}),
        ("qwen2", Circuit(HEADS), {"extra": ("*.q_proj.bias", "*.down_proj.weight")}),
        ("gpt2", Circuit(frozenset((0, head) for head in range(4))), {}),
    ],
)
@pytest.mark.parametrize("share", [1.0, 0.4])
def test_other_runs_are_adapters_too(folders, task, tmp_path, family, what, changes, share):
    path, model = tmp_path / "d.safetensors", load_model(folders[family], "cpu")
    config = QUICK.model_copy(update=changes)
    finetune(model, task, what, cued(12), {}, config).delta.save(path)
    tuned = apply_delta(load_model(folders[family], "cpu"), path, share)
    base = load_model(folders[family], "cpu")
    said_by_peft, merged = exported(base, path, tmp_path / "adapter", share=share)
    assert said_by_peft["base_model_name_or_path"] == str(folders[family])
    parameters = dict(merged.hf.named_parameters())
    for name, value in tuned.hf.named_parameters():
        torch.testing.assert_close(parameters[name], value, rtol=0, atol=1e-6)
    assert not torch.equal(
        parameters[Delta.load(path).names[0]], bits(base.hf)[Delta.load(path).names[0]]
    )


def test_ranks_are_the_rows_that_changed(folders, tmp_path):
    base = load_model(folders["qwen2"], "cpu")
    perturbed(load_model(folders["qwen2"], "cpu"), tmp_path / "d.safetensors")
    config, _ = exported(base, tmp_path / "d.safetensors", tmp_path / "all")
    layer = "model.layers.2.self_attn."
    ranks = {name: config["rank_pattern"][layer + name] for name in ("q_proj", "k_proj", "o_proj")}
    assert ranks == {"q_proj": 16, "k_proj": 16, "o_proj": 16}
    assert config["rank_pattern"]["model.layers.0.self_attn.k_proj"] == 8
    assert config["alpha_pattern"] == config["rank_pattern"] and config["task_type"] == "CAUSAL_LM"
    assert len(config["modules_to_save"]) == 7 and config["bias"] == "lora_only"
    # a head that is given back needs no row of Q
    part = {(2, 3): 0.0}
    config, _ = exported(base, tmp_path / "d.safetensors", tmp_path / "part", share=part)
    assert config["rank_pattern"][layer + "q_proj"] == 8


def test_the_same_delta_gives_the_same_bytes(folders, tmp_path):
    base = load_model(folders["qwen2"], "cpu")
    perturbed(load_model(folders["qwen2"], "cpu"), tmp_path / "d.safetensors")
    for name in "ab":
        export_adapter(base, tmp_path / "d.safetensors", tmp_path / name)
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_bfloat16_run_is_exact_on_the_base_in_float32(folders, task, tmp_path):
    half = load_model(folders["qwen2"], "cpu", "bfloat16")
    folder = written(half, tmp_path / "half")
    tuned = load_model(folder, "cpu", "bfloat16")
    perturbed(tuned, tmp_path / "d.safetensors")
    adapter = export_adapter(
        load_model(folder, "cpu", "bfloat16"), tmp_path / "d.safetensors", tmp_path / "adapter"
    )
    peft = PeftModel.from_pretrained(plain_base(folder, "causal"), adapter)
    merged = dict(peft.merge_and_unload().named_parameters())
    for name, value in tuned.hf.named_parameters():
        torch.testing.assert_close(merged[name], value.float(), rtol=0, atol=1e-6)


def test_what_is_no_adapter_is_refused(build, task, tmp_path):
    path, folder = tmp_path / "d.safetensors", tmp_path / "adapter"
    finetune(build("qwen2"), task, "full", cued(6), {}, QUICK).delta.save(path)
    said(lambda: export_adapter(build("qwen2"), path, folder), "embeddings", "the merged model")
    expanded = QUICK.model_copy(update={"kv": "expand"})
    finetune(build("qwen2"), task, Circuit(HEADS), cued(6), {}, expanded).delta.save(path)
    said(lambda: export_adapter(build("qwen2"), path, folder), "--kv expand", "--kv group")
    finetune(build("qwen2"), task, Circuit(HEADS), cued(6), {}, QUICK).delta.save(path)
    said(lambda: export_adapter(build("qwen2", seed=9), path, folder), "fingerprint")
    said(lambda: export_adapter(build("qwen2"), path, folder, share=2), "from 0")
    assert not folder.exists()
    folder.mkdir()
    (folder / "mine").write_text("mine")
    said(lambda: export_adapter(build("qwen2"), path, folder), "not an empty folder")
