"""The table of what can move: every recipe runs as a job, `direct` from its base, and curves are
sent where they are asked for.
"""

import json
import re

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from ctsft import RECIPES, Circuit, TuneConfig, finetune, trainable_of
from ctsft.circuit.selection import RULES
from ctsft.jobs import request_parts
from ctsft.tuning import config as tuning_config
from support.errors import said
from support.shell import bad, newest
from support.tasks import cued
from support.training import HEADS

QUICK = ["--n", 6, "--epochs", 1, "--lr", 0.01, "--json"]


@pytest.fixture
def circuit(tmp_path):
    Circuit(HEADS).save(tmp_path / "circuit.json")
    return tmp_path / "circuit.json"


def test_the_table_is_what_the_job_and_the_shell_offer(shell):
    assert set(request_parts.CONTROLS) < set(RECIPES)
    help_text = " ".join(shell("finetune", "--help")[1].split())
    for name, recipe in RECIPES.items():
        assert f"{name}: {recipe.description}" in help_text
        assert recipe.rule in {*RULES, "advised", None} and recipe.needs_heads == (
            recipe.rule is not None or recipe.from_file
        )


def test_each_recipe_moves_what_it_says(build):
    model, circuit = build("qwen2"), Circuit(HEADS)
    moves = {
        name: trainable_of(model, name, circuit if recipe.needs_heads else None)
        for name, recipe in RECIPES.items()
    }
    assert {name for name, one in moves.items() if one.heads == HEADS} == {
        "circuit",
        "near_zero",
        "least",
        "random",
        "advised",
        "edited",
    }
    assert {name for name, one in moves.items() if one.everything} == {
        "full",
        "direct",
        "ssu",
        "fggm",
    }
    assert {name: one.mask for name, one in moves.items() if one.mask} == {
        "ssu": "ssu",
        "fggm": "fggm",
    }
    assert (
        moves["lora"].adapted == (0, 1, 2)
        and moves["lora_circuit"].adapted == (0, 2)
        and not moves["norms"].heads
    )
    assert all(one.norms and one.name == name for name, one in moves.items())
    said(lambda: trainable_of(model, "everything"), "'everything'", "lora_circuit")
    said(lambda: trainable_of(model, "circuit", Circuit(frozenset({(7, 0)}))), "L7.H0")


@pytest.mark.parametrize("what", ["edited", "lora_circuit", "lora", "norms"])
def test_recipes_from_the_shell(shell, tiny_words, circuit, what):
    code, out, err = shell(
        "finetune",
        *tiny_words,
        "--target",
        "javanese",
        "--what",
        what,
        "--circuit",
        circuit,
        *QUICK,
    )
    summary = json.loads(out)
    assert (
        (code, err) == (0, [])
        and summary["what"] == what
        and summary["heads"] == (3 if RECIPES[what].needs_heads else None)
    )
    layers = {
        re.search(r"layers\.(\d)", name)[1]
        for name in load_file(newest().file("delta.safetensors"))
        if ":left" in name
    }
    assert (
        layers
        == {"edited": set(), "lora_circuit": {"0", "2"}, "lora": {"0", "1", "2"}, "norms": set()}[
            what
        ]
    )


def test_direct_is_full_tuning_of_the_base(shell, tiny_words, folders):
    """The same run on the base by hand gives the same delta; on the model itself another."""
    base, rest = folders["llama"], [*tiny_words[2:], "--target", "javanese", *QUICK]
    deltas = []
    for words in (
        ["--model", tiny_words[1], "--what", "direct", "--base", base],
        ["--model", base, "--what", "full"],
        ["--model", tiny_words[1], "--what", "full"],
    ):
        code, out, err = shell("finetune", *words, *rest)
        assert (code, err) == (0, []), err
        deltas.append(load_file(newest().file("delta.safetensors")))
    assert set(deltas[0]) == set(deltas[1]) and all(
        torch.equal(deltas[0][name], deltas[1][name]) for name in deltas[0]
    )
    assert set(deltas[0]) != set(deltas[2])
    bad(
        shell("finetune", "--model", tiny_words[1], "--what", "direct", *rest), "'direct'", "--base"
    )


def test_settings_reach_the_run(shell, tiny_words, circuit):
    code, out, err = shell(
        "finetune",
        *tiny_words,
        "--target",
        "javanese",
        "--circuit",
        circuit,
        *QUICK,
        "--kv",
        "expand",
        "--no-norms",
        "--extra",
        "*.0.mlp.up_proj.weight",
        "--extra",
        "lm_head.weight",
        "--accumulate",
        2,
        "--precision",
        "bf16",
        "--batch",
        2,
    )
    config = json.loads(out)["config"]
    assert (code, err) == (0, []) and (
        config["kv"],
        config["norms"],
        config["accumulate"],
        config["precision"],
    ) == ("expand", False, 2, "bf16")
    names = {name.partition(":")[0] for name in load_file(newest().file("delta.safetensors"))}
    assert {
        "lm_head.weight",
        "model.layers.0.mlp.up_proj.weight",
        "model.layers.2.self_attn.k_proj.weight",
    } <= names
    assert not any("norm" in name for name in names)
    words = ["finetune", *tiny_words, "--target", "javanese", *QUICK]
    bad(shell(*words, "--what", "edited"), "'edited'", "--circuit")
    bad(shell(*words, "--what", "everything"), "'everything'", "near_zero")
    bad(shell(*words, "--kv", "both"), "kv", "'both'", "'group' or 'expand'")
    bad(shell(*words, "--lora-targets", "q,w"), "lora_targets", "'w'")
    bad(
        shell(*words, "--circuit", circuit, "--extra", "*.c_fc"),
        "'*.c_fc'",
        "'*.self_attn.q_proj.weight'",
    )
    bad(
        shell(*words, "--circuit", circuit, "--report-to", "wandb"),
        "'wandb'",
        "not installed",
        "pip install wandb",
    )


def test_curves_are_sent_where_they_are_asked_for(build, task, monkeypatch, tmp_path):
    """Losses, gradient norms and accuracies; nothing by default. The service is one of this
    test's.
    """
    logged = []

    class Service(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **_):
            logged.append((state.global_step, logs))

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "trackio", Service)
    monkeypatch.setattr(tuning_config, "find_spec", lambda name: name == "trackio" or None)
    config, rows = TuneConfig(epochs=2, learning_rate=1e-2, batch_size=4), {"javanese": cued(6, 1)}
    plain = finetune(build("qwen2"), task, Circuit(HEADS), cued(8), rows, config)
    assert logged == []
    result = finetune(
        build("qwen2"),
        task,
        Circuit(HEADS),
        cued(8),
        rows,
        config.model_copy(update={"report_to": "trackio"}),
    )
    accuracies = [
        (step, logs["accuracy/javanese"]) for step, logs in logged if "accuracy/javanese" in logs
    ]
    assert (
        accuracies == [(row["step"], row["accuracy"]["javanese"]) for row in result.history]
        and len(accuracies) == 5
    )
    losses = [logs for _, logs in logged if "loss" in logs]
    assert len(losses) == 4 and all(logs["grad_norm"] > 0 for logs in losses)
    assert all(
        torch.equal(a, b)
        for a, b in zip(plain.delta.tensors.values(), result.delta.tensors.values(), strict=True)
    )
    said(
        lambda: finetune(
            build("qwen2"),
            task,
            "norms",
            cued(3),
            {},
            config.model_copy(update={"report_to": "tensorboard"}),
        ),
        "tensorboard",
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"kv": "both"},
        {"accumulate": 0},
        {"precision": "fp16"},
        {"lora_rank": 0},
        {"lora_targets": ()},
        {"report_to": "mlflow"},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValidationError) as error:
        TuneConfig(**wrong)
    assert error.value.errors()[0]["loc"][0] == next(iter(wrong))
