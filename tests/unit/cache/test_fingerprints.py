"""The fingerprint of a model, which stored answers are known by, is hashed once per file."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from ctsft.cache import store
from ctsft.model import fingerprint, model_files
from ctsft.model.loading import load_model
from ctsft.tuning.masked_training import masked_training
from support.hub import publish
from support.stored_answers import other_weight


@pytest.fixture
def folder(folders, tmp_path, monkeypatch) -> Path:
    """A model folder whose files count as settled."""
    monkeypatch.setattr(model_files, "SETTLE_TIME", 0.0)
    return shutil.copytree(folders["qwen2"], tmp_path / "model")


def test_a_second_process_does_not_hash_a_folder_again(folder, loaded, monkeypatch):
    first = fingerprint.cached_fingerprint(load_model(folder, device="cpu"))
    assert first == loaded["qwen2"].fingerprint
    monkeypatch.setattr(fingerprint, "weights_hash", None)
    assert (
        fingerprint.cached_fingerprint(load_model(folder, device="cpu")) == first
        and load_model(folder, device="cpu").loaded_from
    )


def test_a_changed_file_changes_the_fingerprint(folder, build):
    first = fingerprint.cached_fingerprint(load_model(folder, device="cpu"))
    stat = (folder / "model.safetensors").stat()
    other_weight(build, "layers.0").hf.save_pretrained(folder)
    assert (folder / "model.safetensors").stat().st_size == stat.st_size
    # size and time as before
    os.utime(folder / "model.safetensors", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    model = load_model(folder, device="cpu")
    assert fingerprint.cached_fingerprint(model) == fingerprint.weights_hash(model.hf) != first
    assert fingerprint.cached_fingerprint(
        load_model(folder, device="cpu", dtype="float64")
    ) not in (
        first,
        model.fingerprint,
    )


def test_a_hub_model_is_known_by_its_commit(hub, folders, monkeypatch):
    publish(hub, folders["qwen2"], "some/cached-qwen")
    # its configuration came first, and named the commit
    assert load_model("some/cached-qwen", device="cpu").source_files
    first = load_model("some/cached-qwen", device="cpu")
    assert (
        first.source_files[:2] == ["hub", "some/cached-qwen"] and len(first.source_files[2]) == 40
    )
    known = fingerprint.cached_fingerprint(first)
    monkeypatch.setattr(fingerprint, "weights_hash", None)
    assert fingerprint.cached_fingerprint(load_model("some/cached-qwen", device="cpu")) == known


def test_files_written_just_now_are_hashed(folder, monkeypatch):
    monkeypatch.setattr(model_files, "SETTLE_TIME", 1000.0)
    assert load_model(folder, device="cpu").source_files is None


def test_a_model_tuned_in_place_is_hashed_again(folder):
    model = load_model(folder, device="cpu")
    first = fingerprint.cached_fingerprint(model)
    again = load_model(folder, device="cpu")
    with masked_training(again, [(1, 1)]), torch.no_grad():
        # before its fingerprint was ever asked for
        again.hf.trained_slices.weights["0"].mul_(2)
    assert (
        again.source_files is None
        and fingerprint.cached_fingerprint(again) == fingerprint.weights_hash(again.hf) != first
    )
    with torch.no_grad():
        model.hf.model.norm.weight.mul_(2)
    assert fingerprint.cached_fingerprint(model) == fingerprint.weights_hash(model.hf) != first


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b'{"a": 3}', b"\xff\xfe", b'{"half'])
def test_a_spoilt_file_of_fingerprints_counts_as_empty(folder, loaded, content):
    store.write_file(store.cache_folder() / "fingerprints.json", content)
    assert (
        fingerprint.cached_fingerprint(load_model(folder, device="cpu"))
        == loaded["qwen2"].fingerprint
    )
    assert len(fingerprint.read_fingerprints(store.cache_folder() / "fingerprints.json")) == 1
