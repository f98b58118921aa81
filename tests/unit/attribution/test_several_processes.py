"""Models that span devices, and several processes on one pass."""

import json
import secrets
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from ctsft import Circuit, discovery_set, label_balanced_means, load_task, score_heads
from ctsft.data.task import Example
from ctsft.model.loading import wrap
from ctsft.utils import distributed
from support.processes import run_processes, start_code
from support.tasks import write_task

ROWS = [
    Example(str(i), text, label, {"text": text})
    for i, (text, label) in enumerate(
        [
            ("good tea", "positive"),
            ("rain and the sun is poor", "neutral"),
            ("bad house", "negative"),
        ]
    )
]


ROOT = Path(__file__).resolve().parents[3]
ALONE = {"OMP_NUM_THREADS": "1", "CTSFT_CACHE_BYTES": "0"}  # nothing is answered from the cache

pytestmark = pytest.mark.usefixtures("fork_server")


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_parts_on_disk_score_the_same(loaded, folders, task, tokenizer, tmp_path, family):
    """One block and the head are brought in when they are needed, as with device_map="auto" where a
    model does not fit.
    """
    names = {
        "llama": (
            "model.embed_tokens",
            "model.layers.{}",
            "model.norm",
            "lm_head",
            "model.rotary_emb",
        ),
        "gpt2": (
            "transformer.wte",
            "transformer.h.{}",
            "transformer.ln_f",
            "transformer.wpe",
            "transformer.drop",
        ),
    }[family]
    places = {name.format(i): "cpu" for name in names for i in range(3)} | {
        names[1].format(1): "disk",
        names[2]: "disk",
    }
    if family == "llama":
        places["lm_head"] = "disk"
    else:
        places["lm_head"] = "cpu"
    hf = AutoModelForCausalLM.from_pretrained(
        folders[family], device_map=places, offload_folder=tmp_path / "off"
    )
    assert any(value.is_meta for value in hf.parameters())
    model = wrap(hf, tokenizer, family)
    assert model.fingerprint == loaded[family].fingerprint
    means, whole = (
        label_balanced_means(model, task, ROWS),
        label_balanced_means(loaded[family], task, ROWS),
    )
    assert torch.allclose(means.values, whole.values, atol=1e-6)
    for method in ("cdt", "ablation", "atp"):
        mine, theirs = (
            score_heads(model, task, ROWS, means, method).values,
            score_heads(loaded[family], task, ROWS, means, method).values,
        )
        assert torch.allclose(mine, theirs, atol=1e-5) and theirs.abs().max() > 1e-3
    targets = ((2, 1),)
    mine, theirs = (
        score_heads(which, task, ROWS, means, targets=targets).values[:2]
        for which in (model, loaded[family])
    )
    assert torch.allclose(mine, theirs, atol=1e-5)


def torchrun(count: int, home: Path, *words) -> tuple[int, str, str]:
    """Exit code and output of `torchrun --nproc-per-node COUNT -m ctsft WORDS`; torchrun itself is
    forked, the processes that it starts are not.
    """
    environment = ALONE | {"CTSFT_HOME": str(home), "PYTHONPATH": str(ROOT)}
    arguments = ["--nproc-per-node", str(count), "-m", "ctsft", *map(str, words)]
    code = (
        f"import os\nos.environ.update({environment})\n"
        f"from torch.distributed.run import main\nmain({arguments})"
    )
    return start_code(code, home.with_name(f"{home.name}-torchrun")).wait()


def together(count: int, home: Path, *words) -> tuple[int, str, str]:
    """The same without the start of an interpreter for each process."""
    folder = home.with_name(f"{home.name}-{secrets.token_hex(4)}")
    return run_processes(count, words, folder, CTSFT_HOME=str(home), **ALONE)


@pytest.fixture
def words(folders, tmp_path):
    """A model that predicts some rows of each label, and a task with many rows."""
    from ctsft.model.loading import load_model
    from support.tasks import agreed

    model = load_model(folders["qwen2"], device="cpu")
    task = load_task(str(write_task(tmp_path / "data")))
    rows = agreed(model, task, 8)
    path = write_task(
        tmp_path / "data",
        {
            (language, split): rows
            for language in ("indonesian", "javanese")
            for split in ("train", "valid", "test")
        },
    )
    return ["--model", folders["qwen2"], "--task", path, "--device", "cpu"]


def test_two_processes_give_the_scores_of_one(words, tmp_path):
    """gloo, two processes: scores of the CD-T and of attribution patching, a discovery of depth 1
    and faithfulness.
    """
    by_count = {}
    for count in (1, 2):
        home = tmp_path / f"home{count}"
        run = torchrun if count == 2 else together
        code, out, err = run(count, home, "score", *words, "--size", 9, "--json")
        assert code == 0, err
        # one process talks: this is one document
        scores = json.loads(out)
        assert len(list((home / "runs").iterdir())) == 1
        code, out, err = together(
            count,
            home,
            "faithfulness",
            "--scores",
            scores["run"],
            *words,
            "--sizes",
            "2",
            "--random",
            1,
            "--json",
        )
        assert code == 0, err
        by_count[count] = (
            torch.tensor(scores["values"]),
            [row["margin"] for row in json.loads(out)["points"]],
        )
    (alone, margins_alone), (split, margins_split) = by_count[1], by_count[2]
    assert (alone - split).abs().max() < 1e-6 * alone.abs().max() and alone.abs().max() > 1e-3
    assert margins_alone == pytest.approx(margins_split, rel=1e-5)
    circuits = []
    for count in (1, 2):
        code, out, err = together(
            count,
            tmp_path / f"home{count}",
            "discover",
            *words,
            "--size",
            9,
            "--depth",
            1,
            "--fraction",
            0.1,
            "--json",
        )
        assert code == 0, err
        circuits.append([(row["layer"], row["head"]) for row in json.loads(out)["heads"]])
    assert circuits[0] == circuits[1]
    code, out, err = together(2, tmp_path / "home2", "score", *words, "--method", "lime")
    assert code != 0 and err.count("'lime' is not a scoring method") == 1


def finetuned(home: Path, count: int, words, **options) -> tuple[dict, dict]:
    """Summary and delta of a tuning run in `count` processes."""
    listed = [
        word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)
    ]
    code, out, err = together(
        count, home, "finetune", *words, "--target", "javanese", "--lr", 1e-2, "--json", *listed
    )
    assert code == 0, err
    # one process talks: this is one document
    summary = json.loads(out)
    return summary, load_file(home / "runs" / summary["run"] / "delta.safetensors")


def apart(one: dict, other: dict) -> float:
    assert set(one) == set(other)
    return max((one[name] - other[name]).abs().max().item() for name in one)


@pytest.mark.parametrize("what", ["circuit", "lora"])
def test_two_processes_tune_to_the_result_of_one_with_twice_the_batch(words, tmp_path, what):
    """11 rows in batches of 2 x 2 and of 4: the last one holds 3 rows. Numbers that moved agree to
    1e-4 of a step of 1e-2. The circuit's heads are held to the source, whose rows are shared too.
    """
    circuit = tmp_path / "circuit.json"
    Circuit(frozenset({(0, 1), (2, 0)})).save(circuit)
    file = {"circuit": circuit, "hold": 9} if what == "circuit" else {}
    one, alone = finetuned(tmp_path / "1", 1, words, what=what, rows=11, epochs=3, batch=4, **file)
    two, spread = finetuned(tmp_path / "2", 2, words, what=what, rows=11, epochs=3, batch=2, **file)
    assert apart(alone, spread) < 1e-4 and len(list((tmp_path / "2" / "runs").iterdir())) == 1
    assert [row["step"] for row in one["history"]] == [
        row["step"] for row in two["history"]
    ] and one["history"][-1]["steps"] == 9
    for mine, theirs in zip(one["history"], two["history"], strict=True):
        assert mine["accuracy"] == theirs["accuracy"] and (
            mine["loss"] is None or mine["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        )
    # the control: another batch is another result
    _, half = finetuned(tmp_path / "3", 1, words, what=what, rows=11, epochs=3, batch=2, **file)
    assert apart(alone, half) > 1e-3


def test_alone_nothing_is_exchanged(loaded, task):
    values = torch.tensor([1.0, float("nan")])
    assert (
        distributed.is_single_process()
        and distributed.merge_filled(values, torch.device("cpu")) is values
        and distributed.local_share([1, 2, 3]) == [1, 2, 3]
    )
    assert discovery_set is not None
