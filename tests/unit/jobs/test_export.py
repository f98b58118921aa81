"""A tuned model leaves as an ordinary Hugging Face folder: plain transformers loads it and predicts
the same.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ctsft import Circuit, Delta, apply_delta, load_model, load_task, predict
from ctsft.tuning.delta_comparison import compare_deltas
from support.shell import bad, newest
from support.tasks import cued

TUNING = ["--target", "javanese", "--n", 9, "--epochs", 4, "--lr", 0.03, "--batch", 4]


@pytest.fixture(scope="module")
def tuned_once(tmp_path_factory):
    """{words: a tuning run of them}, and the circuit that they name; each is tuned once."""
    folder = tmp_path_factory.mktemp("tuned")
    Circuit(frozenset({(0, 1), (2, 0)})).save(folder / "circuit.json")
    return folder, {}


@pytest.fixture
def tune(shell, tiny_words, tuned_once, home):
    """tune(*words) -> summary of a run that trains two heads, or what the words say, with its
    model. The run is a copy in this test's home.
    """
    folder, tuned = tuned_once

    def run(*words):
        if words not in tuned:
            circuit = ["--circuit", folder / "circuit.json"]
            code, out, err = shell(
                "finetune", *tiny_words, *TUNING, *circuit, "--save-model", "--json", *words
            )
            assert (code, err) == (0, []), err
            shutil.copytree(newest().path, folder / newest().id)
            tuned[words] = json.loads(out)
        path = home / "runs" / tuned[words]["run"]
        if not path.exists():
            shutil.copytree(folder / path.name, path)
        return tuned[words]

    return run


def plainly(folder, task, rows) -> list[str]:
    """Predictions by transformers alone."""
    tokenizer, model = (
        AutoTokenizer.from_pretrained(folder),
        AutoModelForCausalLM.from_pretrained(folder),
    )
    tokens, predictions = {label: tokenizer.encode(" " + label)[-1] for label in task.labels}, []
    for row in rows:
        with torch.no_grad():
            logits = model(
                **tokenizer(
                    task.prompt.format(**row.fields),
                    return_tensors="pt",
                    return_token_type_ids=False,
                )
            ).logits[0, -1]
        predictions.append(max(tokens, key=lambda label: logits[tokens[label]].item()))
    return predictions


@pytest.mark.parametrize("words", [[], ["--kv", "expand"], ["--what", "full"], ["--what", "lora"]])
def test_round_trip(shell, tiny_words, tune, tmp_path, words):
    summary, folder, rows = tune(*words), tmp_path / "out" / "tuned", cued(60, 5)
    code, out, err = shell("export", summary["run"], "--to", folder)
    assert (code, out, err) == (0, f"{folder}\n", [])
    task, model = load_task(tiny_words[3]), load_model(newest().file("model"), device="cpu")
    expected = predict(model, task, rows)
    assert (
        plainly(folder, task, rows)
        == expected
        == predict(load_model(folder, device="cpu"), task, rows)
    )
    # the control: tuning changed some
    assert predict(load_model(tiny_words[1], device="cpu"), task, rows) != expected
    assert load_model(folder, device="cpu").fingerprint == model.fingerprint
    card = (folder / "README.md").read_text()
    before, after = (summary["final"][when]["javanese"] for when in ("before", "after"))
    for said in (
        f"| javanese | {before['accuracy']:.3f} | {after['accuracy']:.3f} |",
        "measured on split `test`",
        "python -m ctsft finetune",
        "2601.08146",
        f"{summary['trainable']:,} parameters",
        f"base model's {summary['total']:,}",
        f"--what {summary['what']}",
        "`{text} | sentiment:`",
        "learning_rate 0.03",
        "9 labelled javanese",
    ):
        assert said in card, said
    rest = {"full": "parameters were trained, 100.00%", "lora": "low-rank adapters"}.get(
        summary["what"], "Every other parameter has the base"
    )
    assert rest in card and ("Every other parameter" in card) == (summary["what"] == "circuit")
    assert ("| 2 | 0 |" in card) == (folder / "circuit.json").exists() == (words[:1] != ["--what"])


def test_what_cannot_be_exported_is_refused(shell, tiny_words, tune, tmp_path, home):
    summary = tune()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    bad(shell("export", summary["run"], "--to", tmp_path / "full"), "not an empty folder", "--to")
    bad(shell("export", summary["run"], "--to", tmp_path / "full" / "file"), "not an empty folder")
    bad(shell("export", "20260101-000000-score-abcd", "--to", tmp_path / "new"), "no run '20260101")
    code, out, _ = shell("score", *tiny_words, "--size", 6, "--json")
    bad(
        shell("export", json.loads(out)["run"], "--to", tmp_path / "new"),
        "no tuned model",
        "'score'",
    )
    assert (tmp_path / "full" / "file").read_text() == "mine" and not (tmp_path / "new").exists()
    (tmp_path / "empty").mkdir()
    assert (
        shell("export", summary["run"], "--to", tmp_path / "empty")[0] == 0
        and (tmp_path / "empty" / "README.md").exists()
    )
    other = tmp_path / "other"
    shutil.copytree(tiny_words[1], other)
    path = home / "runs" / summary["run"] / "request.json"
    request = json.loads(path.read_text())
    request["subject"]["model"] = request["facts"]["model"] = str(tmp_path / "empty")
    path.write_text(json.dumps(request))
    bad(
        shell("export", summary["run"], "--to", tmp_path / "new"),
        "belongs to a model with the fingerprint",
    )


def test_deltas_and_expand_from_the_shell(shell, tiny_words, tune, tmp_path):
    one, two = tune()["run"], tune("--seed", 777)["run"]
    model = ["--model", tiny_words[1]]
    code, out, _ = shell("deltas", one, two, *model, "--json")
    assert code == 0 and len(json.loads(out)) == 14
    code, out, _ = shell("deltas", one, two, *model)
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == [
        "head",
        "L0.H0",
        "L0.H1",
        "L2.H0",
        "L2.H1",
        "norms",
    ]
    code, out, _ = shell(
        "deltas", one, two, *model, "--add", tmp_path / "sum.safetensors", "--json"
    )
    assert code == 0 and json.loads(out)["numbers"] > 0
    rows = compare_deltas(
        load_model(tiny_words[1], device="cpu"),
        tmp_path / "sum.safetensors",
        tmp_path / "sum.safetensors",
    )
    assert rows[1]["cosine"] == pytest.approx(1)
    bad(shell("deltas", one, *model), "1 came", "--add")
    assert (
        shell("expand", *model, "--to", tmp_path / "wide")[:2] == (0, f"{tmp_path / 'wide'}\n")
        and load_model(tmp_path / "wide").n_kv_heads == 4
    )
    bad(shell("expand", *model, "--to", tmp_path / "wide"), "exists")


def test_a_share_of_the_change_from_the_shell(shell, tiny_words, tune, tmp_path):
    """As a folder with a card that says so, and as a delta, by head too."""
    run, base = tune()["run"], load_model(tiny_words[1], device="cpu")
    assert shell("export", run, "--to", tmp_path / "none", "--share", 0)[0] == 0
    assert load_model(tmp_path / "none", device="cpu").fingerprint == base.fingerprint
    assert shell("export", run, "--to", tmp_path / "some", "--share", 0.3)[0] == 0
    delta, part = newest().file("delta.safetensors"), tmp_path / "part.safetensors"
    some = apply_delta(load_model(tiny_words[1], device="cpu"), delta, 0.3)
    assert load_model(tmp_path / "some", device="cpu").fingerprint == some.fingerprint
    card = (tmp_path / "some" / "README.md").read_text()
    assert "0.3 of that change" in card and "of this share, on valid rows: indonesian" in card
    words = ["--scale", part, "--share", 0.5, "--head-share", "L2.H0=0"]
    assert shell("deltas", run, *words)[:2] == (0, f"{part}\n")
    about = Delta.load(part).about
    assert about["share"] == 0.5 and about["head_shares"] == {"2.0": 0.0}
    bad(shell("deltas", run, "--scale", part, "--head-share", "2.0=0"), "L2.H1=0.5")
    bad(shell("deltas", run, run, "--scale", part), "2 came")
    bad(shell("export", run, "--to", tmp_path / "more", "--share", 2), "from 0", "2.0")
    assert not (tmp_path / "more").exists()


def test_an_adapter_from_the_shell_is_the_tuned_model(shell, tiny_words, tune, tmp_path):
    """By the lines of the card, and by load_model and `--model`."""
    summary, folder = tune(), tmp_path / "adapter"
    base, rows = tiny_words[1], cued(120, 5)
    words = ["--format", "peft", "--to", folder]
    assert shell("export", summary["run"], *words) == (0, f"{folder}\n", [])
    task, tuned = load_task(tiny_words[3]), load_model(newest().file("model"), device="cpu")
    expected = predict(tuned, task, rows)
    card = (folder / "README.md").read_text()
    assert "library_name: peft" in card and "| 2 | 0 |" in card
    code = card.partition("```python\n")[2].partition("\n```")[0]
    names = {"BASE": base, "FOLDER": str(folder)}
    exec(code, names)
    adapted = names["model"].merge_and_unload()
    page = (Path(__file__).resolve().parents[3] / "docs" / "outputs.md").read_text()
    documented = page.partition("```python\n")[2].partition("\n```")[0]
    names["BASE"] = base
    exec(documented.replace('"adapter"', "FOLDER"), names)
    other = names["model"].merge_and_unload().state_dict()
    assert all(torch.equal(other[name], value) for name, value in adapted.state_dict().items())
    adapted.save_pretrained(tmp_path / "plain")
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "plain")
    assert plainly(tmp_path / "plain", task, rows) == expected
    assert plainly(base, task, rows) != expected  # the control
    model = load_model(folder, device="cpu")
    assert predict(model, task, rows) == expected and "merged into" in model.notes[0]
    words = ["--model", folder, *tiny_words[2:], "--split", "valid", "--json"]
    measured = {}
    for language in ("indonesian", "javanese"):
        code, out, _ = shell("accuracy", *words, "--language", language)
        measured[language] = json.loads(out)["accuracy"]
    assert measured == {
        language: pytest.approx(value)
        for language, value in summary["shares"]["points"][-1]["accuracy"].items()
    }
    assert (folder / "circuit.json").is_file()


def test_a_run_that_is_no_adapter_is_refused_in_a_sentence(shell, tune, tmp_path):
    words = ["--to", tmp_path / "new"]
    full = tune("--what", "full")["run"]
    bad(shell("export", full, "--format", "peft", *words), "embeddings", "the merged model")
    bad(shell("export", full, "--format", "onnx", *words), "'onnx'", "model, peft")
    assert not (tmp_path / "new").exists()
