"""Deltas: only what moved, for one model only, small; compared and added; applied they give the
tuned model to the bit.
"""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ctsft import (
    Circuit,
    Delta,
    TuneConfig,
    add_deltas,
    apply_delta,
    compare_deltas,
    expand,
    finetune,
    load_model,
    load_task,
    trainable_of,
)
from ctsft.tuning.trainable import linear_slices
from support.errors import said
from support.tasks import cued
from support.training import HEADS, QUICK, bits, same

CIRCUIT = Circuit(HEADS)


CASES = [
    ("gpt2", CIRCUIT, {}),
    ("qwen2", CIRCUIT, {}),
    ("qwen2", CIRCUIT, {"kv": "expand"}),
    ("llama", "norms", {}),
    ("gpt2", "full", {}),
    ("qwen2", "lora", {}),
    ("gpt2", "lora", {"lora_targets": ("q", "o", "up")}),
    ("qwen2", CIRCUIT, {"extra": ("*.q_proj.bias", "*.down_proj.weight")}),
]


def tuned(build, task, path, family, what, seed=31, **changes):
    """A tuned model, its delta written to `path`."""
    result = finetune(
        build(family), task, what, cued(12), {}, QUICK.model_copy(update={"seed": seed, **changes})
    )
    result.delta.save(path)
    return result


@pytest.mark.parametrize(("family", "what", "changes"), CASES)
def test_a_delta_gives_the_tuned_model_to_the_bit_and_fits_no_other(
    build, task, tmp_path, family, what, changes
):
    result, path = (
        tuned(build, task, tmp_path / "d.safetensors", family, what, **changes),
        tmp_path / "d.safetensors",
    )
    fresh, stranger = build(family), build(family, seed=99)
    applied = apply_delta(fresh, path)
    assert same(applied, result.model) and not same(
        applied, expand(build(family)) if changes.get("kv") else build(family)
    )
    assert (applied is fresh) == ("kv" not in changes)
    said(lambda: apply_delta(stranger, path), stranger.fingerprint, build(family).fingerprint)
    said(lambda: apply_delta(result.model, path), "load the model it was tuned from")
    assert Delta.load(path).size == result.delta.size == result.trainable


def test_the_file_reads_as_its_description_says(build, task, tmp_path):
    """Put into a fresh copy by hand."""
    result, fresh = tuned(build, task, tmp_path / "d.safetensors", "gpt2", CIRCUIT), build("gpt2")
    tensors, parameters = load_file(tmp_path / "d.safetensors"), dict(fresh.hf.named_parameters())
    with safe_open(tmp_path / "d.safetensors", "pt") as file:
        words = json.loads(file.metadata()["delta"])
    stacks = words.pop("stacks")
    assert words == {"base": build("gpt2").fingerprint, "what": "circuit", "kv": "group"} and list(
        stacks
    ) == ["stack0"]
    tensors |= dict(zip(stacks["stack0"].split(" "), tensors.pop("stack0"), strict=True))
    with torch.no_grad():
        for key, value in tensors.items():
            name, _, kind = key.partition(":")
            if not kind:
                parameters[name].copy_(value)
            elif kind == "values" and f"{name}:rows" in tensors:
                parameters[name][tensors[f"{name}:rows"]] = value
            elif kind == "values":
                parameters[name][:, tensors[f"{name}:columns"]] = value
    assert same(fresh, result.model) and not same(fresh, build("gpt2"))
    assert {
        value.dtype for key, value in tensors.items() if key.endswith((":rows", ":columns"))
    } == {torch.int32}


@pytest.mark.parametrize(
    ("what", "kv"),
    [
        ("circuit", "group"),
        ("circuit", "expand"),
        ("full", "group"),
        ("lora", "group"),
        ("lora_circuit", "group"),
        ("norms", "group"),
    ],
)
def test_a_delta_of_the_bundled_model_takes_four_bytes_a_number_and_a_tenth_at_most(
    tmp_path, what, kv
):
    model, task = load_model("demo", device="cpu"), load_task("demo")
    heads = Circuit(frozenset({(0, 1), (0, 6), (2, 3), (3, 3), (4, 0), (5, 7)}))
    result = finetune(
        model,
        task,
        trainable_of(model, what, heads),
        task.load("english", "train")[:2],
        {},
        TuneConfig(epochs=1, kv=kv),
    )
    result.delta.save(tmp_path / "d.safetensors")
    assert (
        4 * result.trainable
        <= (tmp_path / "d.safetensors").stat().st_size
        <= 1.1 * 4 * result.trainable
    )


def test_changes_of_each_head_are_compared(build, task, tmp_path):
    """Norms of the change of each head's slices, written here by hand; heads outside move with
    their group's keys only.
    """
    paths = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    base = build("qwen2")
    models = [
        tuned(build, task, path, "qwen2", CIRCUIT, seed).model
        for path, seed in zip(paths, (31, 777), strict=True)
    ]
    rows = {(row["layer"], row["head"]): row for row in compare_deltas(build("qwen2"), *paths)}
    assert len(rows) == 12 + 2 and rows[None, "rest"] == {
        "layer": None,
        "head": "rest",
        "first": 0,
        "second": 0,
        "cosine": None,
    }
    tuned_parameters, old = (
        [dict(model.hf.named_parameters()) for model in models],
        dict(base.hf.named_parameters()),
    )
    for layer, head in ((2, 0), (0, 0), (1, 1)):
        vectors = []
        for params in tuned_parameters:
            change, at = (
                {name: (params[name] - old[name]).detach().double() for name in old},
                f"model.layers.{layer}.self_attn.",
            )
            q, kv = slice(8 * head, 8 * head + 8), slice(head // 2 * 8, head // 2 * 8 + 8)
            qkv_slices = [
                change[f"{at}{module}_proj.{name}"][rows]
                for module, rows in (("q", q), ("k", kv), ("v", kv))
                for name in ("weight", "bias")
            ]
            vectors.append(
                torch.cat(
                    [value.flatten() for value in [*qkv_slices, change[at + "o_proj.weight"][:, q]]]
                )
            )
        row = rows[layer, head]
        assert row["first"] == pytest.approx(vectors[0].norm().item()) and row[
            "second"
        ] == pytest.approx(vectors[1].norm().item())
        if (layer, head) == (1, 1):
            assert row["first"] == 0 and row["cosine"] is None
        else:
            assert (
                row["cosine"] == pytest.approx(torch.cosine_similarity(*vectors, dim=0).item())
                and 0.1 < row["cosine"] < 0.9999
            )
    assert rows[2, 1]["first"] < rows[2, 0]["first"] and rows[None, "norms"]["first"] > 0
    full, lora = tmp_path / "full.safetensors", tmp_path / "lora.safetensors"
    tuned(build, task, full, "qwen2", "full"), tuned(build, task, lora, "qwen2", "lora")
    rest = compare_deltas(build("qwen2"), full, lora)[-1]
    # q and v belong to heads, the MLP to none
    assert rest["first"] > 0 and rest["second"] == 0


def test_the_sum_of_two_deltas(build, task, tmp_path):
    paths = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    kinds = {
        "same slices": (CIRCUIT, CIRCUIT),
        "other heads": (CIRCUIT, Circuit(frozenset({(1, 2)}))),
        "whole": (CIRCUIT, "full"),
        "lora": ("lora", CIRCUIT),
    }
    for kind, whats in kinds.items():
        models = [
            tuned(build, task, path, "qwen2", what, seed).model
            for path, what, seed in zip(paths, whats, (31, 777), strict=True)
        ]
        add_deltas(build("qwen2"), paths, tmp_path / "sum.safetensors")
        both = apply_delta(build("qwen2"), tmp_path / "sum.safetensors")
        old, new = dict(build("qwen2").hf.named_parameters()), dict(both.hf.named_parameters())
        first, second = (dict(model.hf.named_parameters()) for model in models)
        assert all(
            torch.allclose(new[name], first[name] + second[name] - old[name], atol=1e-6)
            for name in old
        ), kind
        assert not same(both, models[0]) and not same(both, models[1])
        if kind == "other heads":
            # a number that one of them moved alone is that one's to the bit
            output_part = [part for part in linear_slices(both, {(1, 2)}) if part.columns][0]
            assert torch.equal(
                output_part.values, second["model.layers.1.self_attn.o_proj.weight"][:, 16:24]
            )
            assert (
                Delta.load(tmp_path / "sum.safetensors").size
                == sum(Delta.load(path).size for path in paths) - 7 * 32
            )
    add_deltas(build("qwen2"), [paths[1]], tmp_path / "one.safetensors")
    assert same(
        apply_delta(build("qwen2"), tmp_path / "one.safetensors"),
        apply_delta(build("qwen2"), paths[1]),
    )


def test_what_is_no_delta_of_this_model_is_refused(build, task, tmp_path):
    model, path, other = build("qwen2"), tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    (
        tuned(build, task, path, "qwen2", CIRCUIT),
        tuned(build, task, other, "qwen2", CIRCUIT, kv="expand"),
    )
    before = bits(model.hf)
    said(lambda: add_deltas(model, [], tmp_path / "sum"), "at least one")
    said(lambda: compare_deltas(model, path, other), "kv='group'", "one kind")
    said(lambda: compare_deltas(build("llama"), path, path), "load the model")
    (tmp_path / "torn").write_bytes(path.read_bytes()[:500])
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign")
    for name in ("torn", "foreign", "none"):
        said(
            lambda name=name: apply_delta(model, tmp_path / name),
            name,
            "delta.safetensors of a fine-tuning run",
        )
    assert all(torch.equal(before[name], value) for name, value in bits(model.hf).items())
