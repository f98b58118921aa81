"""Checkpoints that lack weights, or hold others than their configuration says: refused by name, or
read with a note, and never filled with random numbers.
"""

import logging

import pytest
import torch
import transformers as tf

from ctsft.model.loading import load_model
from support.checkpoints import copied, filled, prefixed, without
from support.errors import said
from support.tiny import tiny

Q_PROJ = "model.layers.1.self_attn.q_proj.weight"


@pytest.fixture
def base(folders):
    return folders["qwen2"]  # its LM head is not tied


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("."), ["lack every tensor of Qwen2ForCausalLM", "lm_head.weight"]),
        (without(Q_PROJ), ["lack 1 of the", Q_PROJ]),
        (without("q_proj", "norm"), ["lack", "and 10 more"]),
        (without("lm_head"), ["without the head that answers with a token", "lm_head.weight"]),
        (without("embed_tokens"), ["lack 1 of the", "model.embed_tokens.weight"]),
        (
            lambda tensors: prefixed("module.")(without(Q_PROJ)(tensors)),
            ["and hold module."],
        ),
        (
            lambda tensors: without(Q_PROJ)(tensors) | {"model.layers.1.attn.q": tensors[Q_PROJ]},
            [Q_PROJ, "and hold model.layers.1.attn.q instead"],
        ),
    ],
    ids=["all", "one", "many", "head", "embeddings", "prefix and one", "renamed"],
)
def test_what_a_file_does_not_hold_is_refused_by_name(base, tmp_path, change, words):
    folder = copied(base, tmp_path / "model", lambda t: change(t) or {"x": torch.zeros(1)})
    said(lambda: load_model(folder, "cpu"), str(folder), *words)


def test_a_missing_shard_is_named(build, tmp_path):
    model = build("qwen2")
    model.hf.save_pretrained(tmp_path, max_shard_size="20kB")
    model.tokenizer.save_pretrained(tmp_path)
    assert load_model(tmp_path, "cpu").fingerprint == model.fingerprint  # control
    last = sorted(tmp_path.glob("model-*.safetensors"))[-1]
    last.unlink()
    said(lambda: load_model(tmp_path, "cpu"), "safetensors weights", last.name)


def test_a_whole_copy_loads_to_the_bit_and_without_a_note(base, loaded, tmp_path):
    """Control of the refusals."""
    model = load_model(copied(base, tmp_path / "model"), "cpu")
    assert model.fingerprint == loaded["qwen2"].fingerprint and model.notes == []


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "base.net."])
def test_the_prefix_of_a_wrapper_is_removed_with_a_note(base, loaded, tmp_path, prefix):
    model = load_model(copied(base, tmp_path / "model", prefixed(prefix)), "cpu")
    assert model.fingerprint == loaded["qwen2"].fingerprint
    assert len(model.notes) == 1 and f"starts with {prefix!r}" in model.notes[0]


def test_tied_weights_count_for_both(build, tmp_path):
    """The LM head of GPT-2 is its embedding; a body alone (GPT2Model) is complete, too."""
    model = build("gpt2")
    model.hf.save_pretrained(tmp_path / "whole")
    model.hf.transformer.save_pretrained(tmp_path / "body")
    for name in ("whole", "body"):
        model.tokenizer.save_pretrained(tmp_path / name)
        again = load_model(tmp_path / name, "cpu")
        assert again.fingerprint == model.fingerprint and again.notes == []


def test_a_body_without_an_lm_head_is_refused(build, tmp_path):
    model = build("llama")
    model.hf.model.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    said(lambda: load_model(tmp_path, "cpu"), "without the head", "lm_head.weight")


@pytest.mark.parametrize(
    ("family", "head"),
    [
        ("bert", "classifier"),
        ("distilbert", "pre_classifier"),
        ("roberta", "classifier"),
        ("llama", "score"),
    ],
)
def test_a_classifier_without_its_head_is_refused(tokenizer, tmp_path, family, head):
    hf = tiny(family, kind="classes", vocab_size=len(tokenizer), pad_token_id=0)
    for part in (hf, tokenizer):
        part.save_pretrained(tmp_path / "whole")
    assert load_model(tmp_path / "whole", "cpu").classes
    folder = copied(tmp_path / "whole", tmp_path / "body", without(head))
    said(lambda: load_model(folder, "cpu"), "without the head that answers with a class", head)


def test_an_encoder_saved_as_a_body_gets_no_random_classifier(tokenizer, tmp_path):
    hf = tiny("bert", vocab_size=len(tokenizer))
    for part in (hf.bert, tokenizer):
        part.save_pretrained(tmp_path)
    said(lambda: load_model(tmp_path, "cpu"), "without a sequence-classification head")


def test_another_shape_is_refused_by_name(base, tmp_path):
    folder = copied(base, tmp_path / "model", vocab_size=2000)
    said(
        lambda: load_model(folder, "cpu"), "2 tensor(s)", "lm_head.weight", "[2000, 32] is expected"
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", [Q_PROJ, "model.norm.weight", "model.embed_tokens.weight"])
def test_nan_and_infinity_in_a_file_are_named(base, tmp_path, name, value):
    folder = copied(base, tmp_path / "model", filled(name, value))
    said(
        lambda: load_model(folder, "cpu"), "NaN or infinite numbers in", name, "another checkpoint"
    )


def test_tensors_without_a_place_are_noted(base, loaded, tmp_path):
    extra = {"score.weight": torch.zeros(3, 32)}
    model = load_model(copied(base, tmp_path / "model", lambda t: t | extra), "cpu")
    assert model.fingerprint == loaded["qwen2"].fingerprint
    assert "1 tensor(s)" in model.notes[0] and "score.weight" in model.notes[0]


def test_quantisation_settings_that_are_not_used_are_noted(base, loaded, tmp_path):
    settings = {"quant_method": "mystery", "bits": 4}
    model = load_model(copied(base, tmp_path / "model", quantization_config=settings), "cpu")
    assert model.fingerprint == loaded["qwen2"].fingerprint
    assert "quantisation settings (mystery)" in model.notes[0] and "float32" in model.notes[0]


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("gptq", lambda tensors: tensors),
        ("mystery", lambda tensors: tensors | {f"{Q_PROJ}_scale": torch.ones(1)}),
    ],
)
def test_a_quantised_model_is_refused(base, tmp_path, method, change):
    """By a method that needs a package, or with scales that would not be used."""
    settings = {"quant_method": method, "bits": 4}
    folder = copied(base, tmp_path / "model", change, quantization_config=settings)
    said(lambda: load_model(folder, "cpu"), f"is quantised ({method})", "ordinary weights")


def test_the_report_of_transformers_is_not_printed(base, tmp_path, caplog):
    """It calls random numbers "newly initialized"."""
    folder, logger = (
        copied(base, tmp_path / "model", without(Q_PROJ)),
        logging.getLogger("transformers"),
    )
    logger.setLevel(logging.WARNING)
    logger.addHandler(caplog.handler)
    try:
        tf.AutoModelForCausalLM.from_pretrained(folder)
        assert "MISSING" in caplog.text  # control
        caplog.clear()
        said(lambda: load_model(folder, "cpu"), Q_PROJ)
        assert not caplog.text and logger.level == logging.WARNING
    finally:
        logger.removeHandler(caplog.handler)
