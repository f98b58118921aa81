"""Arguments, models and files that cannot be used: exit code 2 and one line."""

import pytest
from transformers import T5Config

from ctsft.circuit.circuit import Circuit
from support.checkpoints import copied, filled, without
from support.hub import CLOSED
from support.shell import bad, newest
from support.tasks import cued, write_task


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
