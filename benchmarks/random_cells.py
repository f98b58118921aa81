"""Tuning runs to test forecasts on: cells drawn at random are tuned and measured on test rows; what
a forecast may look at before (a rehearsal, or the linearised model) is computed beside each.

    OMP_NUM_THREADS=1 python -m benchmarks.random_cells --data DATA --scores SCORES \
        --cells 100 --out cells.jsonl

A line of the file is {"cell": what was tuned, "steps", "before", "after": {side: accuracy on test
rows}, "seconds": {part: CPU seconds}, "rehearsal" and "linear": {side: changes on the forecast's
rows}}. Cells that the file has already are not run again. DATA: the folder of NusaX. SCORES: a run
or file with the scores that heads are chosen by.

*rehearsal*: the same tuning in six steps. Its learning rate is multiplied so that the rates of all
steps have the same sum, and it draws other batches. *linear*: the whole tuning of the model
linearised at the checkpoint, f(w0) + J (w - w0), with the run's own optimiser; J d is a difference
of two forward passes. Both are measured on 100 validation rows of the target and 200 rows of the
source: 100 validation rows, 100 of discovery's half of the training rows.
"""

import argparse
import json
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

import ctsft
from ctsft.data.task import Example, balanced_sample
from ctsft.jobs.results import read_scores
from ctsft.model.evaluation import label_logits
from ctsft.model.forward import readout_logits
from ctsft.tuning.checkpoints import trainable_parameters
from ctsft.tuning.config import TuneConfig
from ctsft.tuning.finetune import finetune
from ctsft.tuning.masked_training import masked_training
from ctsft.tuning.recipes import trainable_of
from ctsft.tuning.trainer import collate

SOURCE = "indonesian"
TARGETS = ("javanese", "minangkabau", "acehnese", "buginese", "balinese", "sundanese")
BATCH, HEADS, HOLD = 16, 6, 9.0
STEPS = 6  # of a rehearsal
SMALL = 0.02  # of a change of the weights, for the linearised model
SOFT = 0.7  # the margin, in nats, over which a right answer fades into a wrong one
NEVER = 10**9


@dataclass(frozen=True)
class Cell:
    """One tuning run. method: a recipe, or "full_held"."""

    target: str
    method: str
    n: int
    rate: float
    epochs: int
    seed: int

    @property
    def steps(self) -> int:
        return -(-self.n // BATCH) * self.epochs


@dataclass(frozen=True)
class Draw:
    """What cells are drawn from, each with the same chance."""

    methods: list[str]
    rows: list[int]
    rates: list[float]
    epochs: list[int]

    def cell(self, draw: random.Random) -> Cell:
        return Cell(
            draw.choice(TARGETS),
            draw.choice(self.methods),
            draw.choice(self.rows),
            draw.choice(self.rates),
            draw.choice(self.epochs),
            draw.randrange(1000),
        )


class Bench:
    """The bundled model, put back before each run, and its rows."""

    def __init__(self, data: str, scores: str):
        self.model = ctsft.load_model("demo", device="cpu")
        self.task = ctsft.load_task("nusax", data_dir=data)
        self.loaded = {
            name: value.detach().clone() for name, value in self.model.hf.state_dict().items()
        }
        self.scores = read_scores(scores)
        self.source_pool = self.task.pools(self.task.load(SOURCE, "train"))[0]
        self.rows = {("source", "test"): self.task.load(SOURCE, "test")}
        self.rows["source", "forecast"] = self.task.load(SOURCE, "valid") + self.source_pool[:100]
        for target in TARGETS:
            self.rows[target, "test"] = self.task.load(target, "test")
            self.rows[target, "forecast"] = self.task.load(target, "valid")
        self.loaded_logits: dict[tuple[str, str], torch.Tensor] = {}

    def restore(self):
        with torch.no_grad():
            for name, value in self.model.hf.state_dict().items():
                value.copy_(self.loaded[name])
        self.model.hf.eval()

    def trainable(self, cell: Cell):
        what = cell.method.removesuffix("_held")
        rule = {"circuit": "top", "near_zero": "near_zero"}.get(what)
        heads = ctsft.select(self.scores, rule, k=HEADS) if rule else None
        return trainable_of(self.model, what, heads)

    def train_rows(self, cell: Cell) -> list[Example]:
        pool = self.task.pools(self.task.load(cell.target, "train"))[1]
        return balanced_sample(pool, cell.n, self.task.labels, cell.seed)

    def first(self, language: str, use: str) -> torch.Tensor:
        """The logits before tuning, [row, label]."""
        if (language, use) not in self.loaded_logits:
            self.restore()
            self.loaded_logits[language, use] = self.logits(language, use)
        return self.loaded_logits[language, use]

    def logits(self, language: str, use: str) -> torch.Tensor:
        return label_logits(self.model, self.task, self.rows[language, use])

    def margins(self, logits: torch.Tensor, language: str, use: str) -> torch.Tensor:
        """The logit of the right label minus the highest of the others, [row]."""
        labels = list(self.task.labels)
        gold = torch.tensor([labels.index(row.label) for row in self.rows[language, use]])
        right = torch.nn.functional.one_hot(gold, len(labels)).bool()
        return logits[right] - logits.masked_fill(right, -torch.inf).amax(-1)

    def accuracy(self, logits: torch.Tensor, language: str, use: str) -> float:
        return float((self.margins(logits, language, use) > 0).float().mean())

    def measured(self, cell: Cell) -> dict[str, float]:
        """{side: accuracy on test rows} of the model as it is now."""
        return {
            side: self.accuracy(self.logits(language, "test"), language, "test")
            for side, language in sides(cell).items()
        }

    def before(self, cell: Cell) -> dict[str, float]:
        """`measured` before tuning."""
        return {
            side: self.accuracy(self.first(language, "test"), language, "test")
            for side, language in sides(cell).items()
        }

    def tune(self, cell: Cell, steps: int | None = None):
        """Tune the model that was loaded; in `steps` steps, where those are fewer."""
        self.restore()
        part, seed = 1.0, cell.seed
        if steps is not None:
            # the trainer rounds up
            part, seed = min(1.0, (steps - 1e-6) / cell.steps), cell.seed + 1
        # rates fall linearly to 0, so their sum over T steps is rate * (T + 1) / 2
        done = round(part * cell.steps)
        factor = (cell.steps + 1) / (done + 1)
        config = TuneConfig(
            epochs=cell.epochs * part,
            learning_rate=cell.rate * factor,
            batch_size=BATCH,
            seed=seed,
            hold=HOLD * factor if cell.method.endswith("_held") else 0.0,
            eval_every=NEVER,
        )
        train, source = self.train_rows(cell), self.source_pool
        finetune(self.model, self.task, self.trainable(cell), train, {}, config, source=source)

    def tune_linearised(self, cell: Cell):
        """The tuning of the linearised model; afterwards the model has `SMALL` of its change."""
        self.restore()
        tokens = self.task.label_ids(self.model)
        rows = [(self.task.encode(self.model, r), tokens[r.label]) for r in self.train_rows(cell)]
        batch_of, draw, order = collate(self.model), random.Random(cell.seed), []
        with masked_training(self.model, self.trainable(cell)) as hf:
            values = [value for _, value in trainable_parameters(hf)]
            start = [value.detach().clone() for value in values]
            optimiser = torch.optim.AdamW(values, lr=cell.rate, weight_decay=0.0)
            for step in range(cell.steps):
                order = order or draw.sample(rows, len(rows))
                batch, order = batch_of(order[:BATCH]), order[BATCH:]
                for group in optimiser.param_groups:
                    group["lr"] = cell.rate * (1 - step / cell.steps)
                tuned = [value.detach().clone() for value in values]
                write(values, start, tuned, SMALL)
                with torch.no_grad():
                    near = readout_logits(hf, batch["batch"]).float()
                write(values, start, start, 0.0)
                logits = readout_logits(hf, batch["batch"]).float()  # [row, vocabulary]
                linear = logits.detach() + (near - logits.detach()) / SMALL
                error = linear.softmax(-1)
                error[range(len(error)), batch["labels"]] -= 1
                optimiser.zero_grad()
                (logits * error).sum().div(len(error)).backward()
                write(values, start, tuned, 1.0)
                torch.nn.utils.clip_grad_norm_(values, 1.0)
                optimiser.step()
            write(values, start, [value.detach().clone() for value in values], SMALL)

    def changes(self, cell: Cell, scale: float = 1.0) -> dict[str, dict]:
        """Of the model as it is now: {side: {"accuracy", "soft": their changes on the forecast's
        rows}}. scale: what changes of the logits are multiplied by.
        """
        out = {}
        for side, language in sides(cell).items():
            first = self.first(language, "forecast")
            now = first + (self.logits(language, "forecast") - first) * scale
            before, after = (self.margins(one, language, "forecast") for one in (first, now))
            out[side] = {
                "accuracy": float((after > 0).float().mean() - (before > 0).float().mean()),
                "soft": float((after / SOFT).sigmoid().mean() - (before / SOFT).sigmoid().mean()),
            }
        return out

    def line(self, cell: Cell, linear: bool) -> dict:
        """A line of the file."""
        before, seconds = self.before(cell), {}
        for language in sides(cell).values():
            self.first(language, "forecast")

        def timed(part: str, work):
            began = time.process_time()
            result = work()
            seconds[part] = round(time.process_time() - began, 3)
            return result

        timed("tune", lambda: self.tune(cell))
        after = timed("measure", lambda: self.measured(cell))
        line = {"cell": asdict(cell), "steps": cell.steps, "before": before, "after": after}
        line["seconds"] = seconds
        if cell.steps > STEPS:
            timed("rehearse", lambda: self.tune(cell, STEPS))
            line["rehearsal"] = timed("rehearsed rows", lambda: self.changes(cell))
        # holding has no place in the linearised model
        if linear and not cell.method.endswith("_held"):
            timed("linearise", lambda: self.tune_linearised(cell))
            line["linear"] = self.changes(cell, 1 / SMALL)
        return line


def sides(cell: Cell) -> dict[str, str]:
    return {"target": cell.target, "source": "source"}


@torch.no_grad()
def write(values: list, start: list, tuned: list, part: float):
    """Set the values to start + part * (tuned - start)."""
    for value, first, last in zip(values, start, tuned, strict=True):
        value.copy_(torch.lerp(first, last, part))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="folder of NusaX")
    parser.add_argument("--scores", required=True, help="run or file with the heads' scores")
    parser.add_argument("--cells", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the draw of cells")
    parser.add_argument("--methods", default="circuit,near_zero,full,full_held")
    parser.add_argument("--rows", default="25,50,25,50,100", help="fewer are cheaper")
    parser.add_argument("--rates", default="3e-4,1e-3,3e-3,1e-2")
    parser.add_argument("--epochs", default="3,5,8")
    parser.add_argument("--linear", type=int, default=8, help="linearise one cell in that many")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    done = set()
    if arguments.out.exists():
        lines = map(json.loads, arguments.out.read_text().splitlines())
        done = {Cell(**line["cell"]) for line in lines}
    bench = Bench(arguments.data, arguments.scores)
    choices = Draw(
        arguments.methods.split(","),
        list(map(int, arguments.rows.split(","))),
        list(map(float, arguments.rates.split(","))),
        list(map(int, arguments.epochs.split(","))),
    )
    draw = random.Random(arguments.seed)
    for number in range(arguments.cells):
        cell = choices.cell(draw)
        if cell not in done:
            line = bench.line(cell, number % arguments.linear == 0)
            with arguments.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(cell, line["before"], line["after"], line["seconds"], flush=True)


if __name__ == "__main__":
    main()
