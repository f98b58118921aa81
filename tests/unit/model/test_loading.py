"""Loading: what is refused and with which error, the replay that checks a family, and the hub."""

import dataclasses
import shutil
import time

import pytest
import torch
import transformers as tf
from huggingface_hub import constants

from ctsft.model import families
from ctsft.model.device import choose_device
from ctsft.model.loading import as_model, load_model, wrap
from support.errors import said
from support.hub import ADDRESS, CLOSED, publish
from support.models import FAMILIES
from support.tiny import tiny
from support.tokenizers import byte_level


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_loads_as_it_was_saved(folders, loaded, build, family):
    model, made = loaded[family], build(family)
    assert (model.dtype, model.device.type, model.hf.training) == (torch.float32, "cpu", False)
    assert model.fingerprint == made.fingerprint and model.name == str(folders[family])
    assert (
        model.tokenizer("good tea | sentiment:")["input_ids"]
        == made.tokenizer("good tea | sentiment:")["input_ids"]
    )
    assert as_model(model) is model


def swapped(one: str, other: str):
    """A family function that takes two modules of a block for each other."""

    def llama(hf):
        parts = families.llama(hf)
        blocks = [
            dataclasses.replace(block, **{one: getattr(block, other), other: getattr(block, one)})
            for block in parts.blocks
        ]
        return dataclasses.replace(parts, blocks=blocks)

    return llama


def wrong_activation(hf):
    parts = families.llama(hf)
    return dataclasses.replace(
        parts,
        blocks=[dataclasses.replace(block, act=torch.nn.functional.relu) for block in parts.blocks],
    )


def wrong_final_norm(hf):
    parts = families.llama(hf)
    return dataclasses.replace(parts, final_norm=parts.blocks[0].attn_norm)


@pytest.mark.parametrize(
    ("family", "wrong"),
    [
        ("llama", swapped("up", "gate")),
        ("qwen2", swapped("attn_norm", "mlp_norm")),
        ("llama", wrong_activation),
        ("mistral", wrong_final_norm),
    ],
)
def test_the_replay_refuses_a_wrong_list(folders, monkeypatch, family, wrong):
    monkeypatch.setitem(families.FAMILIES, family, wrong)
    said(
        lambda: load_model(folders[family], device="cpu"),
        f"type {family!r}",
        "replayed logits differ by",
        "of their size, allowed is 0.001",
    )


def test_the_replay_refuses_queries_and_keys_taken_for_each_other(tokenizer, monkeypatch):
    """Needs as many key heads as query heads, or the shapes give it away."""
    hf = tiny("llama", num_key_value_heads=4, vocab_size=len(tokenizer))
    assert wrap(hf, tokenizer).n_kv_heads == 4
    monkeypatch.setitem(families.FAMILIES, "llama", swapped("q", "k"))
    said(lambda: wrap(hf, tokenizer), "type 'llama'", "replayed logits differ by")


def test_the_replay_refuses_a_model_that_gives_nan(tokenizer):
    hf = tiny("qwen2", vocab_size=len(tokenizer))
    torch.nn.init.constant_(hf.model.norm.weight, float("nan"))
    said(lambda: wrap(hf, tokenizer, "mine"), "mine (type 'qwen2')", "NaN or infinite in float32")


def test_another_type_is_refused_before_its_weights_are_read(tmp_path):
    tf.T5Config(vocab_size=10).save_pretrained(tmp_path)
    said(lambda: load_model(tmp_path), str(tmp_path), "type 't5'", "gpt2, gpt_neox, llama, mistral")


def test_pickled_weights_are_refused(folders, tmp_path):
    folder = shutil.copytree(folders["llama"], tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    torch.save(
        tiny("llama", vocab_size=len(byte_level())).state_dict(), folder / "pytorch_model.bin"
    )
    said(lambda: load_model(folder), "safetensors")


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("config.json", "{", "config"),
        ("config.json", None, "config"),
        ("config.json", "{}", "config"),
        ("tokenizer.json", "{}", "tokenizer"),
        ("model.safetensors", "torn", "safetensors"),
    ],
)
def test_a_folder_with_a_broken_or_missing_file_is_refused(folders, tmp_path, name, content, what):
    folder = shutil.copytree(folders["llama"], tmp_path / "broken")
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    said(lambda: load_model(folder), f"The {what}", "could not be loaded", "*.safetensors")


@pytest.mark.parametrize("name", ["/no/such/folder", "./none", "../none", "a/b/c", "", "a b"])
def test_what_is_neither_a_folder_nor_a_hub_name_is_refused(name):
    said(lambda: load_model(name), f"no model folder {name!r}", "hub name")


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("auto", torch.float32), ("float64", torch.float64), ("bfloat16", torch.bfloat16)],
)
def test_dtypes(folders, name, dtype):
    assert load_model(folders["qwen2"], "cpu", name).dtype == dtype


def test_a_device_or_dtype_that_is_not_there_is_refused(folders):
    said(
        lambda: load_model(folders["qwen2"], dtype="int8"),
        "'int8' is not a dtype",
        "float32",
        "bfloat16",
    )
    for device in ("gpu", "mps:7", *(() if torch.cuda.is_available() else ("cuda",))):
        said(
            lambda device=device: load_model(folders["qwen2"], device=device),
            repr(device),
            "choose auto, cpu, cuda, mps or map",
        )
    assert choose_device("auto").type == (
        "cuda"
        if torch.cuda.is_available()
        else "mps"
        if torch.backends.mps.is_available()
        else "cpu"
    )


def test_more_processes_than_gpus_are_refused_in_each_of_them(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    for rank in "01":
        monkeypatch.setenv("LOCAL_RANK", rank)
        said(lambda: choose_device("cuda"), "2 processes", "1 GPU;", "--device cpu")


def test_a_hub_model_is_fetched_and_then_read_from_the_cache(hub, folders, loaded, monkeypatch):
    publish(hub, folders["qwen2"], "some/tiny-qwen")
    model = load_model("some/tiny-qwen", device="cpu")
    assert model.fingerprint == loaded["qwen2"].fingerprint and model.name == "some/tiny-qwen"
    assert any(
        line.startswith("GET /some/tiny-qwen/resolve/") and line.endswith("model.safetensors")
        for line in hub.asked
    )
    hub.asked.clear()
    load_model("some/tiny-qwen", device="cpu")
    assert not [
        line for line in hub.asked if line.startswith("GET") and line.endswith(".safetensors")
    ]


def test_the_hub_does_not_know_the_name(hub):
    said(
        lambda: load_model("no/such-model"),
        ADDRESS,
        "no public model 'no/such-model'",
        "answer 404",
        "spelling",
    )


@pytest.mark.parametrize("code", [401, 403])
def test_a_gated_model_says_how_to_log_in(monkeypatch, code):
    monkeypatch.setattr(
        "ctsft.model.model_files.requests.head",
        lambda *_, **__: type("Answer", (), {"status_code": code})(),
    )
    said(lambda: load_model("some/gated"), f"answer {code}", "hf auth login")


def test_without_a_network_the_answer_comes_within_seconds(monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", CLOSED)
    began = time.monotonic()
    said(
        lambda: load_model("Qwen/Qwen2.5-0.5B"),
        "'Qwen/Qwen2.5-0.5B' is not a folder here",
        CLOSED,
        "cannot be reached",
        "local folder",
    )
    assert time.monotonic() - began < 15
