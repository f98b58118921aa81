"""The doors that `benchmarks.fuzz` tries, each with right inputs and with what has to hold of an
accepted one.
"""

import io
import json
import random
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save

import ctsft
from benchmarks.fuzz_damages import ODD, damage_document, damage_lines, damage_table, damage_tensors
from ctsft import runs
from ctsft.attribution.means import Means
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.cli.main import main as shell
from ctsft.data.registry import load_task
from ctsft.jobs.advice import read_advice
from ctsft.jobs.experiment_design import read_design
from ctsft.jobs.request_parts import discovery_scoring
from ctsft.jobs.requests import FinetuneRequest, Tuning, from_json
from ctsft.model.model_files import BUNDLED_MODELS
from ctsft.runs.damage import damage
from ctsft.tuning.delta import Delta, delta_base
from ctsft.utils.errors import UserError
from explorer.session import link_format


@dataclass(frozen=True)
class Door:
    """A way in: a right input, how it is damaged, how it is read, and a check of what was read.
    share: of all inputs; name: of the file.
    """

    name: str
    right: bytes
    spoil: Callable[[bytes, random.Random], bytes]
    read: Callable[[Path], object]
    check: Callable[[object], bool] = lambda value: True
    share: float = 1.0


TASK = {
    "name": "reviews",
    "prompt": "{text} | sentiment:",
    "labels": ["negative", "neutral", "positive"],
    "source": "alpha",
    "targets": ["beta"],
    "files": "{language}/{split}.csv",
}
ROWS = [
    {"id": str(number), "text": f"the room {number}, was {label}", "label": label}
    for number, label in enumerate(TASK["labels"] * 4)
]


def table(separator: str) -> bytes:
    lines = [separator.join(ROWS[0])]
    lines += [
        separator.join(f'"{value}"' if separator in value else value for value in row.values())
        for row in ROWS
    ]
    return ("\n".join(lines) + "\n").encode()


def rows_of(ending: str) -> Callable[[Path], object]:
    """Read a table as the rows of a task."""

    def read(path: Path):
        folder = path.parent / "task"
        (folder / "alpha").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / "alpha" / f"train.{ending}")
        task = TASK | {"files": "{language}/{split}." + ending}
        (folder / "task.json").write_text(json.dumps(task))
        return load_task(str(folder / "task.json")).load("alpha", "train")

    return read


def read_task(path: Path):
    folder = path.parent / "task"
    for language in ("alpha", "beta"):
        (folder / language).mkdir(parents=True, exist_ok=True)
        (folder / language / "train.csv").write_bytes(table(","))
    shutil.copy(path, folder / "task.json")
    return load_task(str(folder / "task.json")).load("alpha", "train")


def right_rows(rows: list) -> bool:
    return all(
        row.text.strip() and isinstance(row.label, str) and row.text != "nan" for row in rows
    )


def read_run(name: str) -> Callable[[Path], object]:
    """Put the file into a run folder; list, show and compare."""

    def read(path: Path):
        request = FinetuneRequest(tuning=Tuning(target="javanese"))
        with runs.record(request, "planted") as run:
            for step in (0, 5):
                run.event(kind="evaluation", step=step, steps=5, accuracy={"a": 0.5, "javanese": 1})
            run.file("result.json").write_text(RESULT.decode())
        shutil.copy(path, run.file(name))
        damage(run)
        for arguments in (["runs"], ["runs", "show", "planted"], ["compare"]):
            if quiet(arguments) != 0:
                raise AssertionError(f"{arguments} failed")
        atomic = runs.Run(run.path).status()
        shutil.rmtree(run.path)
        return atomic

    return read


RESULT = json.dumps(
    {"source": "a", "target": "javanese", "trainable": 3, "total": 10, "heads": None,
     "history": [{"step": 0, "accuracy": {"a": 0.5, "javanese": 0.5}}], "rows": {"a": 3}}
).encode()  # fmt: skip


def read_request(path: Path):
    try:
        return from_json(path.read_bytes())
    except ValueError as error:  # its callers say it in a sentence
        raise UserError(str(error).splitlines()[0]) from None


def read_link(path: Path):
    query = json.loads(path.read_bytes().decode("utf-8", "replace") or "{}")
    fields, problems = link_format.read({str(key): str(value) for key, value in query.items()}, {})
    return link_format.within_model(fields, 3, 4), problems


def read_model(name: str) -> Callable[[Path], object]:
    """The bundled model with one file in place of its own."""

    def read(path: Path):
        folder = path.parent / "model"
        folder.mkdir(exist_ok=True)
        for file in BUNDLED_MODELS["demo"].iterdir():
            if file.name != name:
                (folder / file.name).symlink_to(file)
        shutil.copy(path, folder / name)
        return ctsft.load_model(str(folder), "cpu")

    return read


def right_model(model) -> bool:
    return all(value.isfinite().all() for value in model.hf.parameters())


def spoil_link(data: bytes, draw: random.Random) -> bytes:
    query = json.loads(data)
    for _ in range(3):
        query[draw.choice([*link_format.FIELDS, "odd"])] = str(draw.choice(ODD))
    return json.dumps(query).encode()


def quiet(arguments: list[str]) -> int:
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return shell(arguments)


COMMANDS = {
    "score": ["--method", "--attention", "--positions", "--rules", "--normalise", "--steps", "--k",
              "--size", "--pool-seed", "--max-memory", "--batch-tokens", "--name", "--odd"],
    "finetune": ["--target", "--what", "--k", "--n", "--epochs", "--lr", "--batch", "--seed",
                 "--weight-decay", "--max-grad-norm", "--kv", "--precision", "--lora-rank",
                 "--lora-targets", "--eval-every", "--pool", "--extra", "--report-to"],
    "discover": ["--depth", "--fraction", "--size", "--attention"],
    "faithfulness": ["--scores", "--circuit", "--sizes", "--n-random"],
    "advise": ["--target", "--k", "--n", "--damping", "--seed"],
    "runs": ["show", "resume", "delete", "paint"],
    "cache": ["list", "clear", "odd"],
}  # fmt: skip


def read_command(path: Path):
    """A command whose job is not run: exit code 0 or 2, and a refusal is one line on stderr."""
    arguments = json.loads(path.read_bytes())
    errors = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(errors):
        code = shell(arguments)
    if code == 2:
        raise UserError(errors.getvalue().strip())
    if code:
        raise AssertionError(f"exit code {code}: {errors.getvalue()[-300:]}")


def spoil_command(data: bytes, draw: random.Random) -> bytes:
    name = draw.choice(list(COMMANDS))
    arguments = [name, *(["--target", "javanese"] if name in ("finetune", "advise") else [])]
    for option in draw.sample(COMMANDS[name], k=draw.randint(1, 2)):
        value = draw.choice(ODD)
        arguments += [option, str(value).replace("\0", "?")[:300]]
    return json.dumps(arguments).encode()


def doors(folder: Path, model) -> list[Door]:
    """Every door, with a right input each."""
    values = torch.rand(4, model.n_layers, model.n_heads)
    about = {"model_type": model.model_type, "n_layers": model.n_layers, "n_heads": model.n_heads}
    scores = Scores(values, list("abcd"), list("xyxy"), "cdt", ScoreConfig(), about)
    scores.save(folder / "scores.safetensors")
    circuit = ctsft.select(scores, "top", k=3).edit(added=[(0, 0)])
    mean = torch.rand(model.n_layers, model.n_heads, model.d_head)
    Means(mean, {"x": mean - 1, "y": mean + 1}, {"x": 2, "y": 2}).save(folder / "means.safetensors")
    name, norm = next(
        (name, value.detach()) for name, value in model.hf.named_parameters() if value.ndim == 1
    )
    matrix, weight = next(
        (name, value.detach())
        for name, value in model.hf.named_parameters()
        if value.ndim == 2 and "layers" in name
    )
    rows = torch.arange(3, dtype=torch.int32)
    tensors = {name: norm + 1, f"{matrix}:values": weight[:3] + 1, f"{matrix}:rows": rows}
    delta = save(
        {key: value.contiguous() for key, value in tensors.items()},
        {
            "delta": json.dumps(
                {"base": model.fingerprint, "what": "x", "kv": "group", "stacks": {}}
            )
        },
    )
    heads = [(layer, head) for layer in range(2) for head in range(2)]
    advice = "layer,head,value,gradient,fisher,rank\n" + "".join(
        f"{layer},{head},{0.5 + i},{1.5},{2.5},{i}\n" for i, (layer, head) in enumerate(heads, 1)
    )
    design = {
        "name": "a", "task": "demo", "targets": ["javanese"], "methods": ["circuit", "full"],
        "n": [25, 50], "seeds": [1, 2], "k": 3, "discovery": {"size": 6},
        "settings": [{"name": "s", "epochs": 2, "learning_rates": [1e-3, 1e-4], "choose": "valid"}],
    }  # fmt: skip
    request = FinetuneRequest(tuning=Tuning(target="javanese")).model_dump_json().encode()
    status = json.dumps({"state": "done", "pid": 3, "progress": 1.0, "heartbeat": 1.0}).encode()
    event = {"kind": "evaluation", "step": 0, "accuracy": {"a": 0.5, "javanese": 0.5}}
    events = "".join(json.dumps(event | {"step": step}) + "\n" for step in (0, 5)).encode()

    def read_delta(path: Path):
        read = Delta.load(path)
        delta_base(model, read, path)
        return read

    def read_whole_design(path: Path):
        read = read_design(path)
        discovery_scoring(read)
        return read.trials({})

    lines = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    scored = (folder / "scores.safetensors").read_bytes()
    meant = (folder / "means.safetensors").read_bytes()
    return [
        Door("task.json", json.dumps(TASK).encode(), damage_document, read_task, right_rows, 2),
        Door("rows.csv", table(","), damage_table, rows_of("csv"), right_rows, 2),
        Door("rows.tsv", table("\t"), damage_table, rows_of("tsv"), right_rows),
        Door("rows.jsonl", lines, damage_lines, rows_of("jsonl"), right_rows, 2),
        Door(
            "circuit.json", circuit.text().encode(), damage_document, Circuit.load,
            lambda read: all(type(part) is int for head in read.heads for part in head),
        ),
        Door("delta.safetensors", delta, damage_tensors, read_delta),
        Door(
            "scores.safetensors", scored, damage_tensors, Scores.load,
            lambda read: read.values.ndim == 2 and len(read.labels) == len(read.per_example),
        ),
        Door("means.safetensors", meant, damage_tensors, Means.load),
        Door("advice.csv", advice.encode(), damage_table, lambda path: read_advice(str(path))),
        Door("design.json", json.dumps(design).encode(), damage_document, read_whole_design),
        Door("request.json", request, damage_document, read_request),
        Door("a run's request", request, damage_document, read_run("request.json"), share=0.5),
        Door("a run's status", status, damage_document, read_run("status.json"), share=0.5),
        Door("a run's events", events, damage_lines, read_run("events.jsonl"), share=0.5),
        Door("a run's result", RESULT, damage_document, read_run("result.json"), share=0.5),
        Door(
            "a model's config", (BUNDLED_MODELS["demo"] / "config.json").read_bytes(),
            damage_document, read_model("config.json"), right_model, 0.3,
        ),
        Door(
            "a model's weights", (BUNDLED_MODELS["demo"] / "model.safetensors").read_bytes(),
            damage_tensors, read_model("model.safetensors"), right_model, 0.3,
        ),
        Door("link", b"{}", spoil_link, read_link),
        Door("command line", b'["score", "--size", "6"]', spoil_command, read_command, share=2),
    ]  # fmt: skip
