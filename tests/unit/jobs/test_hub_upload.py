"""What a run made, uploaded to a (local) hub: complete, with a card, and without the token or the
paths of this machine.
"""

import json
import logging

import pytest

from ctsft import Circuit, Delta, apply_delta, load_model, load_task, predict
from ctsft.jobs import hub_upload
from support.hub import Hub
from support.shell import bad
from support.tasks import cued


@pytest.fixture
def tuned_run(shell, tiny_words, tmp_path) -> str:
    Circuit(frozenset({(0, 1), (2, 0)})).save(tmp_path / "circuit.json")
    words = ["--target", "javanese", "--circuit", tmp_path / "circuit.json", "--n", 9]
    words += ["--epochs", 4, "--lr", 0.03, "--batch", 4, "--no-shares", "--json"]
    code, out, _ = shell("finetune", *tiny_words, *words)
    assert code == 0
    return json.loads(out)["run"]


def downloaded(repo, folder):
    """The repository's files as `hf download` would write them."""
    folder.mkdir()
    for name, data in Hub.uploads[repo].items():
        (folder / name).write_bytes(data)
    return folder


def test_each_format_comes_back_from_the_hub(
    hub, shell, tiny_words, tuned_run, tmp_path, home, monkeypatch, caplog
):
    monkeypatch.setenv("HF_TOKEN", Hub.token)
    caplog.set_level(logging.DEBUG)
    task, rows = load_task(tiny_words[3]), cued(60, 5)
    base = load_model(tiny_words[1], "cpu")
    delta = home / "runs" / tuned_run / "delta.safetensors"
    expected = predict(apply_delta(load_model(tiny_words[1], "cpu"), delta), task, rows)
    assert predict(base, task, rows) != expected  # the control
    shown = ""
    for form in ("model", "peft", "delta", "circuit"):
        code, out, err = shell("export", tuned_run, "--format", form, "--push", f"me/{form}")
        assert (code, err) == (0, []) and out.strip().endswith(f"/me/{form}")
        shown += out
        downloaded(f"me/{form}", tmp_path / form)
        card = (tmp_path / form / "README.md").read_text()
        for said in (
            "python -m ctsft finetune",
            "| javanese |",
            "| 2 | 0 |",
            "9 labelled javanese",
        ):
            assert said in card, (form, said)
    assert predict(load_model(tmp_path / "model", "cpu"), task, rows) == expected
    settings = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "qwen2"  # beside it, under this name
    (tmp_path / "qwen2").symlink_to(tiny_words[1])
    assert predict(load_model(tmp_path / "peft", "cpu"), task, rows) == expected
    applied = apply_delta(base, tmp_path / "delta" / "delta.safetensors")
    assert predict(applied, task, rows) == expected
    heads = Circuit.load(tmp_path / "circuit" / "circuit.json").heads
    assert heads == {(0, 1), (2, 0)}
    assert set(hub.uploads["me/circuit"]) == {"circuit.json", "README.md"}
    pushed = [data for files in hub.uploads.values() for data in files.values()]
    written = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    for data in [*pushed, *written, shown.encode(), caplog.text.encode()]:
        assert Hub.token.encode() not in data
    private = [str(tmp_path).encode(), tiny_words[1].encode(), tiny_words[3].encode()]
    for data in pushed:
        assert not any(path in data for path in private)
    request = (home / "runs" / tuned_run / "request.json").read_bytes()
    assert tiny_words[1].encode() in request  # the control: the run names the path


def test_a_share_of_a_delta_is_uploaded(hub, shell, tuned_run, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", Hub.token)
    words = ["--format", "delta", "--share", 0.5, "--private", "--push", "me/half"]
    assert shell("export", tuned_run, *words)[0] == 0
    folder = downloaded("me/half", tmp_path / "half")
    assert Delta.load(folder / "delta.safetensors").about["share"] == 0.5
    assert "0.5 of that change" in (folder / "README.md").read_text()


def test_what_cannot_be_uploaded_is_refused(hub, shell, tuned_run, monkeypatch):
    words = ["export", tuned_run, "--format", "circuit"]
    with monkeypatch.context() as nobody:
        nobody.setattr(hub_upload, "get_token", lambda: None)
        bad(shell(*words, "--push", "me/x"), "Nobody is logged in", "hf auth login")
    bad(shell(*words, "--push", "not a name"), "'not a name'", "your-name/tuned")
    bad(shell(*words), "--to", "--push")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    code, out, err = shell(*words, "--push", "me/x")
    bad((code, out, err), "refused 'me/x' (answer 401)", "HF_TOKEN")
    assert "hf_wrong" not in "".join([out, *err])
    assert not hub.uploads
