"""The commands, in this process: results on stdout, a run folder for each job."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from safetensors.torch import load_file

from ctsft import runs
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.data.task import Task
from ctsft.jobs.requests import request_of, same_question
from support.checkpoints import copied, end_appended, prefixed
from support.shell import newest, parsed


def test_accuracy(shell, tiny_words):
    code, out, _ = shell("accuracy", *tiny_words, "--json")
    assert code == 0 and json.loads(out) | {"model": "", "task": ""} == {
        "model": "",
        "task": "",
        "language": "indonesian",
        "split": "test",
        "rows": 9,
        "accuracy": 1.0,
        "chance": 1 / 3,
    }
    code, out, _ = shell("accuracy", *tiny_words, "--language", "javanese", "--split", "valid")
    assert code == 0 and "of 9 javanese valid rows (chance 0.333)" in out and runs.list_runs() == []


def test_score_prints_json_only_and_leaves_its_run(scored, tiny_words):
    run = newest()
    assert run.id == scored["run"] and (run.status().state, run.request.kind) == ("done", "score")
    assert (
        len(scored["heads"]) == 12
        and scored["heads"][0]["score"] == max(map(max, scored["values"]))
        and scored["examples"] == 6
    )
    assert {
        "scores.safetensors",
        "scores.csv",
        "means.safetensors",
        "pool.json",
        "result.json",
        "request.json",
        "status.json",
    } <= {path.name for path in run.path.iterdir()} and not list(run.path.glob("*.part"))
    assert (
        same_question(request_of(run), parsed(["score", *tiny_words, "--size", "6"]))
        and Scores.load(run.file("scores.safetensors")).method == "cdt"
    )


@pytest.mark.parametrize(
    ("words", "config"),
    [
        (["--method", "atp"], ("atp", "softmax", "signed", "all")),
        (
            ["--method", "ablation", "--positions", "readout"],
            ("ablation", "softmax", "signed", "readout"),
        ),
        (
            ["--attention", "frozen", "--magnitude", "--preview"],
            ("cdt", "frozen", "magnitude", "all"),
        ),
    ],
)
def test_scoring_options_reach_the_scores(shell, tiny_words, words, config):
    code, out, _ = shell("score", *tiny_words, "--size", 6, "--name", "mine", *words)
    scores = Scores.load(newest().file("scores.safetensors"))
    assert (
        code == 0
        and (scores.method, scores.config.attention, scores.config.score, scores.config.positions)
        == config
    )
    layer, head = scores.ranking()[0]
    assert f"L{layer}.H{head}" in out.splitlines()[1] and out.rstrip().endswith(
        f"run {newest().id}: {newest().path}"
    )
    assert newest().request.name == "mine"
    assert newest().file("preview.safetensors").exists() == ("--preview" in words)


def test_discover_faithfulness_finetune_compare_in_a_row(shell, tiny_words, scored):
    code, out, _ = shell(
        "discover", *tiny_words, "--size", 6, "--depth", 1, "--fraction", 0.17, "--json"
    )
    discovered, circuit = json.loads(out), newest().file("circuit.json")
    assert (
        code == 0
        and {(row["layer"], row["head"]) for row in discovered["heads"]}
        == Circuit.load(circuit).heads
    )
    code, out, _ = shell(
        "faithfulness", *tiny_words, "--scores", scored["run"], "--circuit", circuit, "--json"
    )
    single = json.loads(out)
    assert (
        code == 0
        and single["heads"] == len(discovered["heads"])
        and set(single["raw"]) == {"circuit", "empty", "full"}
        and single["rows"] == 9
    )
    code, out, _ = shell(
        "faithfulness",
        *tiny_words,
        "--scores",
        scored["run"],
        "--sizes",
        "1,3",
        "--random",
        1,
        "--split",
        "test",
        "--json",
    )
    assert code == 0
    assert [(row["size"], row["kind"]) for row in json.loads(out)["points"]] == [
        (1, "ranked"),
        (1, "random"),
        (3, "ranked"),
        (3, "random"),
    ]
    code, out, _ = shell(
        "finetune",
        *tiny_words,
        "--target",
        "javanese",
        "--circuit",
        circuit,
        "--n",
        6,
        "--epochs",
        2,
        "--lr",
        0.01,
        "--batch",
        4,
        "--eval-every",
        1,
        "--json",
    )
    tuned, run = json.loads(out), newest()
    assert (
        code == 0
        and [row["step"] for row in tuned["history"]] == [0, 1, 2, 3, 4]
        and tuned["heads"] == len(discovered["heads"])
    )
    assert load_file(run.file("delta.safetensors")) and run.file("result.json").exists()
    assert (run.status().state, run.status().progress) == ("done", 1)
    code, out, _ = shell(
        "finetune", *tiny_words, "--target", "javanese", "--what", "norms", "--n", 6, "--epochs", 1
    )
    assert (
        code == 0
        and "norms: 224 of" in out
        and "indonesian     1.000 ->" in out
        and "javanese" in out
        and re.search(r"javanese .* texts lost, \d+ won \(p = [\d.]+\)", out)
        and "Measured on 9 test rows" in out
    )
    code, out, _ = shell("compare", "--json")
    rows = json.loads(out)
    assert code == 0 and [(row["run"], row["what"]) for row in rows] == [
        (newest().id, "norms"),
        (run.id, "circuit"),
    ]
    code, out, _ = shell("compare", "--csv")
    table = list(csv.DictReader(io.StringIO(out)))
    assert code == 0 and [(row["run"], row["what"], row["n"]) for row in table] == [
        (row["run"], row["what"], "6") for row in rows
    ]
    assert float(table[1]["target_after"]) == tuned["final"]["after"]["javanese"]["accuracy"]
    code, out, _ = shell("compare")
    assert (
        code == 0 and "javanese" in out.splitlines()[-1] and out.splitlines()[0].startswith("run")
    ), "what all runs share is told once"


def test_advice_is_taken_on_train_rows_and_handed_to_finetune(shell, tiny_words, home, monkeypatch):
    seen, load = [], Task.load
    monkeypatch.setattr(
        Task,
        "load",
        lambda self, language, split: seen.append((language, split)) or load(self, language, split),
    )
    code, out, _ = shell(
        "advise", *tiny_words, "--target", "javanese", "--n", 6, "--k", 3, "--json"
    )
    advised, run = json.loads(out), newest()
    assert code == 0 and set(seen) == {("javanese", "train"), ("indonesian", "train")}
    first = {(row["layer"], row["head"]) for row in advised["heads"][:3]}
    assert (
        Circuit.load(run.file("circuit.json")).heads == first
        and run.request.facts.source == "indonesian"
    )
    tune = [
        "finetune",
        *tiny_words,
        "--target",
        "javanese",
        "--what",
        "advised",
        "--k",
        2,
        "--n",
        3,
        "--epochs",
        1,
    ]
    for given in (run.id, run.file("advice.csv")):
        code, _, err = shell(*tune, "--advice", given)
        # it did not ask again
        assert (code, err) == (0, []) and not newest().file("advice.csv").exists()
        assert Circuit.load(newest().file("circuit.json")).heads == {
            (row["layer"], row["head"]) for row in advised["heads"][:2]
        }
    code, out, _ = shell("advise", *tiny_words, "--target", "javanese", "--n", 6)
    assert code == 0 and f"--what advised --advice {newest().id} --k 6" in out
    for words, says in (
        (
            ["advise", *tiny_words, "--target", "javanese", "--n", 6, "--split", "test"],
            "never computed on test rows",
        ),
        ([*tune, "--advice", "nothing.csv"], "There is no advice at nothing.csv"),
    ):
        code, _, err = shell(*words)
        assert code == 2 and len(err) == 1 and says in err[0]


def test_runs_are_listed_shown_and_deleted(shell, scored):
    code, out, _ = shell("runs", "--json")
    assert code == 0
    assert [
        (row["run"], row["kind"], row["state"], row["progress"]) for row in json.loads(out)
    ] == [(scored["run"], "score", "done", 1)]
    code, out, _ = shell("runs")
    assert code == 0 and out.startswith(scored["run"]) and "100%" in out
    code, out, _ = shell("runs", "show", scored["run"])
    words = json.loads(out)
    assert (
        code == 0
        and words["status"]["state"] == "done"
        and words["result"]["heads"] == scored["heads"]
    )
    assert words["command"].startswith("python -m ctsft score")
    code, out, _ = shell("runs", "delete", scored["run"])
    assert (code, out, runs.list_runs()) == (0, "", [])
    assert shell("runs") == (0, "There are no runs yet.\n", [])
    assert shell("compare")[1].startswith("No fine-tuning run")


def test_notes_on_the_model_and_the_prompt_are_on_stderr(shell, subject, folders, tmp_path):
    task = json.loads(Path(subject.task).read_text())
    task["prompt"] += " "
    (tmp_path / "task.json").write_text(json.dumps(task))
    folder = end_appended(copied(folders["qwen2"], tmp_path / "model", prefixed("module.")))
    words = ["--model", folder, "--task", tmp_path / "task.json", "--device", "cpu"]
    data = ["--data-dir", Path(subject.task).parent]
    code, out, err = shell("accuracy", *words, *data, "--json")
    assert code == 0 and json.loads(out)["rows"] == 9
    assert [line.split()[0] for line in err] == ["note:"] * 3
    assert "'module.'" in err[0] and "<|end|>" in err[1] and "Remove the space" in err[2]
