"""The command line, in this process where it can be and as real processes where it has to be:
results on stdout, one line for an error.
"""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from transformers import T5Config

from ctsft import runs
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.data.task import Task
from ctsft.jobs import scoring
from ctsft.jobs.requests import request_of, same_question
from support.checkpoints import copied, end_appended, filled, prefixed, without
from support.hub import CLOSED
from support.processes import start_shell
from support.shell import bad, newest, parsed
from support.tasks import cued, write_task
from support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def scored(shell, tiny_words, home) -> dict:
    code, out, err = shell("score", *tiny_words, "--size", 6, "--json")
    assert (code, err) == (0, [])
    return json.loads(out)


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
    found, circuit = json.loads(out), newest().file("circuit.json")
    assert (
        code == 0
        and {(row["layer"], row["head"]) for row in found["heads"]} == Circuit.load(circuit).heads
    )
    code, out, _ = shell(
        "faithfulness", *tiny_words, "--scores", scored["run"], "--circuit", circuit, "--json"
    )
    single = json.loads(out)
    assert (
        code == 0
        and single["heads"] == len(found["heads"])
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
        and tuned["heads"] == len(found["heads"])
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["score", "--model", "/no/such/folder"], ["'/no/such/folder'", "folder with config.json"]),
        (["score", "--task", "none.json"], ["none.json does not exist"]),
        (["score", "--task", "feelings"], ["'feelings'", "demo, nusax, xnli"]),
        (["score", "--size", "many"], ["'--size'", "integer. See"]),
        (["score", "--size", "6", "--method", "lime"], ["'lime'", "cdt, atp, ig, ablation"]),
        (["score", "--size", "6", "--attention", "linear"], ["'linear'", "softmax, frozen"]),
        (["score", "--size", "6", "--positions", "last"], ["'last'", "all, readout"]),
        (["score", "--dtype", "int8"], ["'int8'", "float32"]),
        (["score", "--device", "tpu"], ["'tpu'", "auto, cpu"]),
        (["score", "--language", "klingon"], ["'klingon'", "indonesian, javanese"]),
        (["score", "--split", "dev"], ["'dev'", "train, valid, test"]),
        (["score", "--size", "6", "--batch-tokens", "0"], ["batch_tokens is 0"]),
        (["score", "--size", "2"], ["at least 3"]),
        (["score", "--size", "60"], ["Only ", "discovery set of", "competence"]),
        (["score", "--data-dir", "/no/such"], ["'/no/such'", "does not exist"]),
        (["score", "--nonsense"], ["--nonsense"]),
        (["guess"], ["guess"]),
        (["discover", "--size", "6", "--depth", "-1"], ["depth is -1"]),
        (["discover", "--size", "6", "--fraction", "2"], ["fraction is 2"]),
        (["faithfulness", "--scores", "no-such-run"], ["'no-such-run'", "python -m ctsft runs"]),
        (["faithfulness"], ["--scores"]),
        (["faithfulness", "--scores", "x", "--sizes", "a,b"], ["'a,b'", "1,2,4,8"]),
        (["faithfulness", "--scores", "none.safetensors"], ["none.safetensors"]),
        (["finetune"], ["--target"]),
        (["finetune", "--target", "klingon", "--what", "norms"], ["'klingon'"]),
        (
            ["finetune", "--target", "javanese", "--what", "everything"],
            ["'everything'", "circuit, near_zero"],
        ),
        (
            ["finetune", "--target", "javanese", "--what", "norms", "--lr", "-1"],
            ["learning_rate = -1"],
        ),
        (["finetune", "--target", "javanese", "--what", "norms", "--n", "99"], ["99", "24"]),
        (["finetune", "--target", "javanese", "--n", "6", "--circuit", "none.json"], ["none.json"]),
        (["runs", "show", "no-such-run"], ["'no-such-run'"]),
        (["runs", "delete", "../x"], ["'../x'"]),
        (["runs", "paint", "x"], ["'paint'", "show, stop"]),
    ],
)
def test_bad_words_are_one_line(shell, tiny_words, words, said):
    given = (
        []
        if words[0] in ("runs", "guess")
        else [
            word for i in (0, 2, 4) for word in tiny_words[i : i + 2] if tiny_words[i] not in words
        ]
    )
    bad(shell(words[0], *given, *words[1:]), *said)


def test_a_model_that_cannot_be_used_is_one_line(shell, tiny_words, folders, tmp_path, monkeypatch):
    T5Config(vocab_size=9).save_pretrained(tmp_path / "t5")
    bad(
        shell("score", *tiny_words, "--model", tmp_path / "t5"),
        "'t5'",
        "gpt2, gpt_neox, llama, mistral",
    )
    bad(shell("score", *tiny_words, "--model", "no/such-model"), "no public model 'no/such-model'")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", CLOSED)
    bad(
        shell("accuracy", *tiny_words, "--model", "Qwen/Qwen2.5-0.5B"),
        "cannot be reached",
        "local folder",
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("k_proj"), ["lack 6 of the", "k_proj"]),
        (without("lm_head"), ["without the head", "lm_head.weight"]),
        (filled("model.norm.weight", float("nan")), ["NaN", "model.norm.weight"]),
    ],
    ids=["projection", "head", "nan"],
)
@pytest.mark.parametrize("command", ["accuracy", "score"])
def test_a_damaged_checkpoint_is_one_line(
    shell, tiny_words, folders, tmp_path, command, change, words
):
    folder = copied(folders["qwen2"], tmp_path / "damaged", change)
    bad(shell(command, *tiny_words[2:], "--model", folder), str(folder), *words)


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


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,review,label\n1,a,neutral\n", ["no column 'text'"]),
        ("", ["holds no rows"]),
        ("text,label\ngood,neutral\n" * 9, ["label"]),
        ("text,label\n" + "good,neutral\n" * 9, ["'negative', 'positive'", "every label"]),
        ("text,label\ngood,fine\n", ["'fine'", "negative, neutral, positive"]),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(shell, tiny_words, tmp_path, content, said):
    path = write_task(tmp_path / "task")
    (tmp_path / "task" / "indonesian" / "train.csv").write_text(content)
    bad(shell("score", *tiny_words, "--task", path, "--size", 6), *said)
    assert (
        newest().status().state == "failed"
        and said[0] in newest().status().message
        and "Traceback" in newest().log_tail(99)
    )


def test_a_label_of_two_tokens_is_one_line(shell, tiny_words, tmp_path):
    changes = {"labels": ["negative", "neutral", "good tea"], "rename": {"positive": "good tea"}}
    path = write_task(tmp_path / "task", {("indonesian", "train"): cued(9)}, **changes)
    bad(
        shell("score", *tiny_words, "--task", path, "--size", 6),
        "'good tea'",
        "'Ġgood', 'Ġtea'",
        "ONE",
    )


def test_another_models_circuit_is_one_line(shell, tiny_words, scored, folders, tmp_path):
    foreign = tmp_path / "circuit.json"
    Circuit(
        frozenset({(0, 0)}),
        model={"model": "small", "model_type": "gpt2", "n_layers": 12, "n_heads": 12},
    ).save(foreign)
    bad(
        shell("faithfulness", *tiny_words, "--scores", scored["run"], "--circuit", foreign),
        "another model",
        "'gpt2'",
        "load small",
    )
    bad(
        shell("finetune", *tiny_words, "--target", "javanese", "--circuit", foreign, "--n", 6),
        "another model",
        "'gpt2'",
    )
    bad(
        shell(
            "faithfulness",
            *tiny_words,
            "--scores",
            scored["run"],
            "--model",
            folders["llama"],
            "--sizes",
            1,
        ),
        "another model",
        "'llama'",
    )


def test_a_loss_that_is_not_finite_is_one_line(shell, tiny_words):
    words = [
        "finetune",
        *tiny_words,
        "--target",
        "javanese",
        "--what",
        "full",
        "--n",
        12,
        "--batch",
        4,
        "--lr",
        1e30,
    ]
    bad(shell(*words), "is NaN or infinite", "lower the learning rate")


def test_a_failure_of_ours_is_exit_code_1_and_one_line(shell, tiny_words, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(scoring, "score_heads", broken)
    code, out, err = shell("score", *tiny_words, "--size", 6)
    log = newest().file("log.txt")
    assert (code, out) == (1, "") and err == [
        f"ctsft: It failed with RuntimeError: out of memory (traceback in {log})."
    ]
    assert "Traceback" in newest().log_tail(99) and newest().status().state == "failed"


def test_a_failure_outside_a_job_names_no_log(shell, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("x" * 1000)

    monkeypatch.setattr("ctsft.runs.list_runs", broken)
    code, out, err = shell("runs")
    assert (code, out, len(err)) == (1, "", 1) and "log" not in err[0] and len(err[0]) < 400


def test_a_run_stopped_before_its_result_says_how_to_go_on(shell, tiny_words, monkeypatch):
    monkeypatch.setattr(
        scoring,
        "score_heads",
        lambda *words, **_: (newest().file("stop").write_text("keep"), words[5](1, 2)),
    )
    code, out, err = shell("score", *tiny_words, "--size", 6)
    assert (code, out) == (1, "") and len(err) == 1 and f"runs resume {newest().id}" in err[0]
    assert newest().status().state == "stopped"


@pytest.mark.usefixtures("fork_server")
def test_real_processes_done_wrong_and_ended(tiny_words, tmp_path, tmp_path_factory, home):
    """Three at once: one that works, one that is refused, one that SIGTERM ends in the middle."""
    outputs = tmp_path_factory.mktemp("outputs")

    def start(name, *words):
        return start_shell(words, outputs / name, cwd=tmp_path)

    tuning = ("--target", "javanese", "--what", "norms", "--n", 0, "--epochs", 5000)
    long = start("long", "finetune", *tiny_words, *tuning)
    good = start("good", "score", *tiny_words, "--size", 6, "--method", "atp", "--json")
    wrong = subprocess.Popen(
        [sys.executable, "-m", "ctsft", "runs", "show", "no-such-run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    def is_tuning(run):
        status = run.status()
        return run.request.kind == "finetune" and status.progress > 0 and status.stage == "tuning"

    try:
        assert wait_until(lambda: any(map(is_tuning, runs.list_runs())), 200)
        long.kill(signal.SIGTERM)
        code, out, err = good.wait()
        assert code == 0 and len(json.loads(out)["heads"]) == 12 and "Traceback" not in err
        sentence, line = wrong.communicate(timeout=200)
        assert (
            (wrong.returncode, sentence) == (2, "")
            and line.startswith("ctsft: There is no run 'no-such-run'")
            and len(line.splitlines()) == 1
        )
        code, out, err = long.wait()
        run = runs.list_runs("finetune")[0]
        assert (
            (code, out) == (1, "")
            and err.splitlines()[-1].startswith("ctsft: Interrupted")
            and "Traceback" not in err
        )
        assert (
            run.status().state == "stopped"
            and "interrupted" in run.status().message
            and 0 < run.status().progress < 1
        )
        assert (
            run.events()[0]["step"] == 0
            and [path for path in tmp_path.iterdir() if path != home] == []
        )
    finally:
        long.kill()
        good.kill()
        wrong.kill()
        wrong.communicate()
