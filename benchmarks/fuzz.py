"""Bad inputs at every door: each has to be refused in one sentence, or accepted rightly.

    python -m benchmarks.fuzz [--inputs 1500] [--seed 0] [--seconds 900]

Each input is a right one with a few seeded damages: a value of another type, a key too many or too
few, text cut or spoilt, another encoding. A *fault* is any other exception than the sentence, a
sentence of several lines or of more than `LONGEST` characters, an answer that takes more than
`SLOW` seconds, or an accepted input whose content is not what the door promises. Everything runs
in this process. Exit code 1 where there is a fault, or the time was not enough.
"""

import argparse
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save

import ctsft
from ctsft import runs
from ctsft.attribution.means import Means
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.cli import experiment, export, scoring, scoring_checks, tuning
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

LONGEST = 1000  # characters of a sentence; the paths in it are of any length
SLOW = 20.0  # seconds
ODD = (
    None, True, False, 0, -1, 3, 10**30, 1.5, -0.0, 1e300, float("nan"), float("inf"), "", " ",
    "word", "3", "x" * 5000, "\0", "\u202eabc", "é", "../../etc", "{text!r}",
    "{text:>1000000000}", "<img src=x>", [], [[]], [1, "a", None], {}, {"a": {"b": []}}, "beta",
)  # fmt: skip


# ---- damages ---------------------------------------------------------------


def damage_json(value: object, draw: random.Random) -> object:
    """A copy of a JSON value with one node changed."""
    value = json.loads(json.dumps(value))
    nodes: list[tuple[object, object]] = []

    def visit(node: object):
        pairs = []
        if isinstance(node, dict):
            pairs = list(node.items())
        elif isinstance(node, list):
            pairs = list(enumerate(node))
        for key, child in pairs:
            nodes.append((node, key))
            visit(child)

    visit(value)
    if not nodes or draw.random() < 0.05:
        return draw.choice(ODD)
    parent, key = draw.choice(nodes)
    kind = draw.randrange(5)
    if kind == 0 and isinstance(parent, dict):
        del parent[key]
    elif kind == 1 and isinstance(parent, dict):
        parent[f"{key}x"] = parent.pop(key)
    elif kind == 2 and isinstance(parent, list):
        parent.append(parent[key])
    else:
        # half of them of the same type, to come past the first check
        alike = [odd for odd in ODD if type(odd) is type(parent[key])]
        parent[key] = draw.choice(alike if alike and draw.random() < 0.5 else ODD)
    return value


def damage_bytes(data: bytes, draw: random.Random) -> bytes:
    """Spoilt, cut, doubled or replaced."""
    place = draw.randrange(len(data) + 1)
    kinds = (
        lambda: data[:place],
        lambda: data[:place] + bytes([draw.randrange(256)]) + data[place + 1 :],
        lambda: data[:place] + draw.randbytes(8) + data[place:],
        lambda: data[:place] + data[max(0, place - 20) :],
        lambda: b"",
        lambda: b"[" * 100_000,
        lambda: b"\xef\xbb\xbf" + data,
        lambda: data.decode("utf-8", "replace").encode("utf-16"),
        lambda: b"null",
        lambda: draw.randbytes(200),
    )
    return draw.choice(kinds)()


def damage_text(data: bytes, draw: random.Random) -> bytes:
    """A table's text with one line or one separator changed."""
    lines = data.decode("utf-8").split("\n")
    at = draw.randrange(len(lines))
    mark = draw.choice([",", "\t", ";", '"', "'", "\r", "\0", "|", "é", ",,", '""', "null", "{"])
    line = lines[at]
    place = draw.randrange(len(line) + 1)
    kind = draw.randrange(6)
    if kind == 0:
        lines[at] = line[:place] + mark + line[place:]
    elif kind == 1:
        lines[at] = line[:place]
    elif kind == 2:
        lines.insert(at, line)
    elif kind == 3:
        del lines[at]
    elif kind == 4:
        lines[at] = line.replace(draw.choice([",", "\t", '"', ":"]), mark)
    else:
        return "\n".join(lines).encode(draw.choice(["utf-16", "latin-1", "utf-8-sig"]), "replace")
    return "\n".join(lines).encode()


def damage_document(data: bytes, draw: random.Random) -> bytes:
    if draw.random() < 0.2:
        return damage_bytes(data, draw)
    return json.dumps(damage_json(json.loads(data), draw)).encode()


def damage_table(data: bytes, draw: random.Random) -> bytes:
    return damage_bytes(data, draw) if draw.random() < 0.2 else damage_text(data, draw)


def damage_lines(data: bytes, draw: random.Random) -> bytes:
    """One line of JSON lines changed."""
    if draw.random() < 0.3:
        return damage_table(data, draw)
    lines = data.decode().strip().split("\n")
    at = draw.randrange(len(lines))
    lines[at] = json.dumps(damage_json(json.loads(lines[at]), draw))
    return ("\n".join(lines) + "\n").encode()


def damage_tensors(data: bytes, draw: random.Random) -> bytes:
    """A safetensors file with its header or its description changed."""
    if draw.random() < 0.25:
        return damage_bytes(data, draw)
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    about = header.get("__metadata__", {})
    key = next(iter(about), "")
    if about.get(key, "").startswith("{") and draw.random() < 0.6:
        about[key] = json.dumps(damage_json(json.loads(about[key]), draw))
    else:
        header = damage_json(header, draw)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


# ---- doors -----------------------------------------------------------------


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


@dataclass
class Count:
    tried: int = 0
    refused: int = 0
    accepted: int = 0
    faults: list[str] = field(default_factory=list)


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


# ---- the count -------------------------------------------------------------


def try_one(door: Door, path: Path, count: Count):
    """Read one input and count what came of it."""
    began = time.monotonic()
    count.tried += 1
    fault = ""
    try:
        right = door.check(door.read(path))
        fault = "" if right else "it was accepted, and is not right"
        count.accepted += bool(right)
    except UserError as error:
        sentence = str(error)
        if "\n" in sentence or len(sentence) > LONGEST or not sentence.strip():
            fault = f"the sentence has {len(sentence)} characters: {sentence[:300]!r}"
        else:
            count.refused += 1
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        fault = f"{type(error).__name__} in {where}: {str(error)[:200]}"
    seconds = time.monotonic() - began
    if not fault and seconds > SLOW:
        fault = f"it took {seconds:.0f} s"
    if fault:
        count.faults.append(f"{door.name}: {fault}; input {path.read_bytes()[:160]!r}")


def fuzz(inputs: int, seed: int, seconds: float, model) -> dict[str, Count]:
    """{door: what came of its inputs}; fewer inputs where the time is over."""
    end = time.monotonic() + seconds
    before = os.environ.get("CTSFT_HOME")
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    os.environ["CTSFT_HOME"] = str(folder / "home")
    modules = (scoring, scoring_checks, tuning, experiment, export)
    executed = [module.execute for module in modules]
    for module in modules:  # a command is parsed and checked, and its job is not run
        module.execute = lambda request, as_json=False: None
    try:
        found = doors(folder, model)
        total = sum(door.share for door in found)
        counts = {door.name: Count() for door in found}
        for door in found:
            draw = random.Random(f"{seed} {door.name}")
            path = folder / "input" / Path(door.name.replace(" ", "-")).name
            # the control: what is right is accepted
            shutil.rmtree(path.parent, ignore_errors=True)
            path.parent.mkdir()
            path.write_bytes(door.right)
            control = Count()
            try_one(door, path, control)
            if not control.accepted:
                counts[door.name].faults += control.faults or [f"{door.name}: nothing is accepted"]
            for _ in range(-(-int(inputs * door.share) // int(total))):
                if time.monotonic() > end:
                    break
                shutil.rmtree(path.parent, ignore_errors=True)
                path.parent.mkdir()
                data = door.spoil(door.right, draw)
                path.write_bytes(data)
                try_one(door, path, counts[door.name])
        return counts
    finally:
        for module, execute in zip(modules, executed, strict=True):
            module.execute = execute
        shutil.rmtree(folder, ignore_errors=True)
        os.environ.pop("CTSFT_HOME")
        if before is not None:
            os.environ["CTSFT_HOME"] = before


def table_of(counts: dict[str, Count]) -> str:
    lines = [
        "| door | tried | refused in a sentence | accepted rightly | faults |",
        "|---|---|---|---|---|",
    ]
    rows = [*counts.items(), ("all", total_of(counts))]
    lines += [
        f"| {name} | {count.tried} | {count.refused} | {count.accepted} | {len(count.faults)} |"
        for name, count in rows
    ]
    return "\n".join(lines)


def total_of(counts: dict[str, Count]) -> Count:
    parts = counts.values()
    return Count(
        sum(count.tried for count in parts),
        sum(count.refused for count in parts),
        sum(count.accepted for count in parts),
        [fault for count in parts for fault in count.faults],
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=900.0)
    arguments = parser.parse_args()
    model = ctsft.load_model("demo", "cpu")
    counts = fuzz(arguments.inputs, arguments.seed, arguments.seconds, model)
    print(table_of(counts))
    total = total_of(counts)
    for fault in total.faults:
        print(fault, file=sys.stderr)
    return 0 if total.tried >= arguments.inputs and not total.faults else 1


if __name__ == "__main__":
    sys.exit(main())
