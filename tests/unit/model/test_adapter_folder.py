"""A folder with a LoRA adapter: merged into its base where that is at hand, refused in a sentence
otherwise.
"""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from ctsft.model import model_files
from ctsft.model.loading import load_model
from support.errors import said


@pytest.fixture
def adapter(build, folders, tmp_path):
    """The folder of an adapter of the tiny Qwen2, and the logits of the adapted model."""
    peft = get_peft_model(build("qwen2").hf, LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    draw = torch.Generator().manual_seed(0)
    for name, value in peft.named_parameters():
        if "lora_" in name:
            value.data = torch.randn(value.shape, generator=draw) / 4
    peft.peft_config["default"].base_model_name_or_path = str(folders["qwen2"])
    folder = tmp_path / "adapter"
    peft.save_pretrained(folder)
    with torch.no_grad():
        return folder, peft.eval()(torch.tensor([[5, 6, 7]])).logits


def rewritten(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def test_an_adapter_is_merged_into_its_base(adapter, loaded):
    folder, logits = adapter
    model = load_model(folder, "cpu")
    with torch.no_grad():
        torch.testing.assert_close(model.hf(torch.tensor([[5, 6, 7]])).logits, logits)
    assert model.name == str(folder) and "merged into" in model.notes[0]
    assert model.fingerprint != loaded["qwen2"].fingerprint
    assert model.n_params == loaded["qwen2"].n_params  # no adapter remains
    assert (
        model.tokenizer("good tea")["input_ids"]
        == loaded["qwen2"].tokenizer("good tea")["input_ids"]
    )


def test_a_base_beside_the_adapter_is_found(adapter, folders, tmp_path):
    shutil.copytree(folders["qwen2"], tmp_path / "my-base")
    assert load_model(rewritten(adapter[0], base_model_name_or_path="my-base"), "cpu").notes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"base_model_name_or_path": "/no/such/base"}, ["not at hand", "/no/such/base"]),
        ({"base_model_name_or_path": None}, ["does not name its base"]),
        ({"base_model_name_or_path": 7}, ["does not name its base"]),
        ({"peft_type": "PREFIX_TUNING"}, ["'PREFIX_TUNING'", "only LORA"]),
        ({"target_modules": ["nothing"]}, ["adapter", "could not be loaded"]),
        ({"target_modules": ["q_proj", "v_proj", "o_proj"]}, ["does not fit", "6 of its 18"]),
    ],
)
def test_an_adapter_that_cannot_be_merged_is_refused(adapter, changes, words):
    said(lambda: load_model(rewritten(adapter[0], **changes), "cpu"), *words)


def test_an_adapter_of_another_shape_is_refused(adapter, folders):
    path = adapter[0] / "adapter_model.safetensors"
    save_file({name: value[:1] for name, value in load_file(path).items()}, path)
    said(lambda: load_model(adapter[0], "cpu"), "adapter", str(adapter[0]))


def test_a_folder_with_a_model_and_an_adapter_is_refused(adapter, folders, tmp_path):
    both = shutil.copytree(folders["qwen2"], tmp_path / "both")
    assert load_model(both, "cpu").notes == []  # control
    for path in adapter[0].iterdir():
        shutil.copy(path, both)
    said(lambda: load_model(both, "cpu"), "a model (model.safetensors) and an adapter")


def test_an_adapter_on_the_hub_says_what_to_do(hub, adapter, monkeypatch):
    files = [path.name for path in adapter[0].iterdir()]
    monkeypatch.setattr(model_files, "check_hub", lambda name: None)
    monkeypatch.setattr(model_files, "list_repo_files", lambda name: files)
    said(lambda: load_model("some/adapter", "cpu"), "'some/adapter' is an adapter on the hub")
    files.clear()
    said(lambda: load_model("some/other", "cpu"), "The config of 'some/other'")


def test_an_adapter_with_nan_is_refused(adapter):
    path = adapter[0] / "adapter_model.safetensors"
    save_file({name: value * float("nan") for name, value in load_file(path).items()}, path)
    said(lambda: load_model(adapter[0], "cpu"), "NaN", "q_proj", str(adapter[0]))


def test_an_adapter_without_its_weights_or_settings_is_refused(adapter):
    (adapter[0] / "adapter_model.safetensors").unlink()
    said(lambda: load_model(adapter[0], "cpu"), "without adapter_model.safetensors")
    (adapter[0] / "adapter_config.json").write_text("[")
    said(lambda: load_model(adapter[0], "cpu"), "adapter_config.json", "cannot be read")
