"""The trials of an experiment, one after another in one process: the model is loaded once, and put
back before each trial.

What trials share is computed once: the scores, the source's Fisher information, the figures before
tuning. A trial is what `python -m ctsft finetune` would do with the command in its run folder,
without checkpoints: a trial that is cut off is run again.
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import torch

import ctsft
from ctsft import runs
from ctsft.circuit.circuit import Circuit
from ctsft.circuit.selection import select
from ctsft.data.task import Example, balanced_sample, rows_hash
from ctsft.jobs.advice import advice_rows
from ctsft.jobs.experiment_design import Design, Trial
from ctsft.jobs.reporter import Stopped, finish
from ctsft.jobs.requests import FinetuneRequest, Scoring, Subject, TrialOf, Tuning, base_model
from ctsft.jobs.results import read_scores
from ctsft.model.evaluation import evaluate, metric_changes
from ctsft.model.loading import load_model
from ctsft.model.model import Model
from ctsft.runs.folder import Run
from ctsft.tuning.config import TuneConfig
from ctsft.tuning.finetune import Watch, finetune
from ctsft.tuning.gradients import fisher
from ctsft.tuning.head_advice import advise_heads
from ctsft.tuning.recipes import RECIPES, trainable_of
from ctsft.utils.atomic_files import atomic_path
from ctsft.utils.errors import UserError

# steps between evaluations: only before the first and after the last
NO_EVALUATION = 10**9


class TrialContext:
    """A design's model, rows and what its trials share. `scores`: the run (or file) that heads are
    picked from.
    """

    def __init__(self, design: Design, data_dir: str | None, scores: str):
        self.design, self.data_dir, self.from_scores = design, data_dir, scores
        self.subject = subject_of(design, data_dir)
        self.model, self.task, self.source = self.subject.open()
        self._start: dict[str, dict[str, torch.Tensor]] = {}
        self._others: dict[str, Model] = {}
        self._before: dict[tuple[str, str, str], dict] = {}
        self._circuits: dict[tuple, Circuit] = {}
        self._rows: dict[tuple[str, str], list[Example]] = {}

    def check(self):
        """Refuses what the rows or the model cannot give, before any trial is run."""
        for target in (*self.design.targets, *self.design.related):
            self.task.splits(target)
        for target in self.design.targets:
            have, need = len(self.pool(target)), max(*self.design.n, *self.design.choose_n, 1)
            if need > have:
                raise UserError(
                    f"n = {need} was asked for, and pool {self.design.pool} of the train rows of"
                    f" {target} holds {have}; "
                    f'ask for fewer, or set "pool": "all".'
                )
        if self.design.k > len(self.model.heads):
            raise UserError(
                f"k is {self.design.k}, and the model has {len(self.model.heads)} heads; choose 0"
                f" to {len(self.model.heads)}."
            )
        if any(RECIPES[name].from_base for name in self.design.methods):
            base_model(
                self.subject, Tuning(target=self.source, what="direct", base=self.design.base)
            )

    def rows(self, language: str, split: str) -> list[Example]:
        if (language, split) not in self._rows:
            self._rows[language, split] = self.task.load(language, split)
        return self._rows[language, split]

    def measured_rows(self, language: str, split: str) -> list[Example]:
        return self.rows(language, split)[: self.design.rows]

    def pool(self, target: str) -> list[Example]:
        """The target's train rows that trials draw from."""
        rows = self.rows(target, "train")
        return rows if self.design.pool == "all" else self.task.pools(rows)[1]

    def train_rows(self, trial: Trial) -> list[Example]:
        return balanced_sample(self.pool(trial.target), trial.n, self.task.labels, trial.seed)

    @cached_property
    def scores(self):
        return read_scores(self.from_scores)

    @cached_property
    def information(self) -> list[torch.Tensor]:
        """Fisher information of the source, once for all trials."""
        return fisher(
            self.fresh(self.subject.model),
            self.task,
            advice_rows(self.task, self.rows(self.source, "train")),
        )

    def fresh(self, name: str) -> Model:
        """A model as it was loaded, whatever trials did to it."""
        if name not in self._others:
            self._others[name] = (
                self.model
                if name == self.subject.model
                else load_model(name, self.subject.device, self.subject.dtype)
            )
            self._start[name] = {
                key: value.detach().clone()
                for key, value in self._others[name].hf.state_dict().items()
            }
        model, start = self._others[name], self._start[name]
        with torch.no_grad():
            own = model.hf.state_dict()
            if own.keys() != start.keys():
                raise RuntimeError(
                    f"A trial left {sorted(own.keys() ^ start.keys())[:3]} behind in the model."
                )
            for key, value in own.items():
                value.copy_(start[key])
        model.hf.eval()
        return model

    def before(self, model: Model, split: str, languages: list[str]) -> dict[str, dict]:
        """Measures of a model as it was loaded, once for all trials."""
        for language in languages:
            if (model.name, language, split) not in self._before:
                self._before[model.name, language, split] = evaluate(
                    model, self.task, self.measured_rows(language, split)
                )
        return {language: self._before[model.name, language, split] for language in languages}

    def circuit(self, trial: Trial, train: list[Example]) -> Circuit | None:
        """The heads of a trial: by rule from the shared scores, or by advice from its own training
        rows. Never from other rows.
        """
        rule, k = RECIPES[trial.method].rule, self.design.k
        if rule is None:
            return None
        if rule != "advised":
            return select(
                self.scores, rule, k=k, **({"seed": trial.seed} if rule == "random" else {})
            )
        key = (trial.target, trial.n, trial.seed)
        if key not in self._circuits:
            source = advice_rows(self.task, self.rows(self.source, "train"))
            model = self.fresh(self.subject.model)
            self._circuits[key] = advise_heads(
                model, self.task, train, source, information=self.information
            ).circuit(k)
        return self._circuits[key]

    def config(self, trial: Trial) -> TuneConfig:
        setting = self.design.setting(trial.setting)
        return TuneConfig(
            epochs=setting.epochs,
            learning_rate=trial.learning_rate,
            batch_size=setting.batch_size,
            seed=trial.seed,
            weight_decay=setting.weight_decay,
            eval_every=self.design.eval_every or NO_EVALUATION,
        )

    def tuning(self, trial: Trial) -> Tuning:
        return Tuning(
            target=trial.target,
            what=trial.method,
            scores=self.from_scores,
            k=self.design.k,
            n=trial.n,
            eval_split=trial.split,
            related=tuple(self.design.related),
            pool=self.design.pool,
            base=self.design.base,
        )

    def languages(self, trial: Trial) -> list[str]:
        return list(dict.fromkeys((self.source, trial.target, *self.design.related)))


def run_trial(
    context: TrialContext,
    trial: Trial,
    stop: Callable[[], object],
    keep=lambda result, circuit: None,
) -> dict:
    """Tune and measure: {"before", "after": {language: `measures`}, "forgetting", "plasticity",
    "loss", "trainable", "total", "heads", "course" (evaluations on validation rows, if the
    design asks for them), "train", "seconds"}. Raises `Stopped` when `stop()` is true after a
    step. `keep(result, circuit)` sees the tuned model.
    """
    began, train, languages = time.monotonic(), context.train_rows(trial), context.languages(trial)
    circuit = context.circuit(trial, train)
    name = (
        base_model(context.subject, context.tuning(trial))
        if RECIPES[trial.method].from_base
        else context.subject.model
    )
    model = context.fresh(name)
    before = context.before(model, trial.split, languages)
    curves = (
        {language: context.measured_rows(language, "valid") for language in languages}
        if context.design.eval_every
        else {}
    )
    result = finetune(
        model,
        context.task,
        trainable_of(model, trial.method, circuit),
        train,
        curves,
        context.config(trial),
        Watch(stop=lambda: bool(stop())),
    )
    if result.stopped:
        raise Stopped
    keep(result, circuit)
    after = {
        language: evaluate(result.model, context.task, context.measured_rows(language, trial.split))
        for language in languages
    }
    last = result.history[-1]
    return {
        "before": before,
        "after": after,
        **metric_changes(before, after, context.source, trial.target),
        "loss": last["loss"],
        "steps": last["steps"],
        "epoch": last["epoch"],
        "trainable": result.trainable,
        "total": result.total,
        "heads": sorted(circuit.heads) if circuit else None,
        "course": (
            [{key: row[key] for key in ("step", "loss", "metrics")} for row in result.history]
            if curves
            else []
        ),
        "train": rows_hash(train),
        "seconds": round(time.monotonic() - began, 3),
    }


def request_of_trial(context: TrialContext, trial: Trial, experiment: str) -> FinetuneRequest:
    """A trial as a run of its own: the same command gives the same numbers."""
    tuning = context.tuning(trial)
    if context.design.eval_every:
        final = trial.split if trial.split != "valid" else None
        tuning = replace(tuning, eval_split="valid", final_split=final)
    return FinetuneRequest(
        name=f"{context.design.name}: {trial.description}",
        subject=context.subject,
        scoring=Scoring(seed=trial.seed),
        tuning=tuning,
        config=context.config(trial),
        trial_of=TrialOf(run=experiment, trial=trial),
    )


def record_trial(
    context: TrialContext, trial: Trial, experiment: str, stop: Callable[[], object]
) -> dict:
    """`run_trial` with a run folder of its own, which Compare shows like any other tuning run."""
    run_id, design = trial_run_id(experiment, trial), context.design
    request = request_of_trial(context, trial, experiment)
    found = Run(runs.run_folder(run_id))
    if found.path.exists():
        runs.delete(found)  # it was cut off: from the start
    try:
        with runs.record(request, run_id) as run:
            run.add_facts(
                version=ctsft.__version__,
                torch=torch.__version__,
                model_fingerprint=context.fresh(context.subject.model).fingerprint,
                source=context.source,
            )

            def keep(result, circuit):
                if circuit:
                    circuit.save(run.file("circuit.json"))
                if design.keep_deltas:
                    with atomic_path(run.file("delta.safetensors"), "the delta") as part:
                        result.delta.save(part)

            row = run_trial(context, trial, stop, keep)
            rows = (
                {"step": 0, "epoch": 0.0, "loss": None},
                {
                    "step": row["steps"],
                    "epoch": row["epoch"],
                    "loss": row["loss"],
                },
            )
            history = [
                at
                | {
                    "steps": row["steps"],
                    "accuracy": {name: of["accuracy"] for name, of in row[when].items()},
                    "metrics": row[when],
                    "seconds": 0.0 if when == "before" else row["seconds"],
                }
                for at, when in zip(rows, ("before", "after"), strict=True)
            ]
            for at in history:
                run.event(kind="evaluation", **at)
            finish(
                run,
                {
                    "model": context.model.name,
                    "task": context.task.name,
                    "source": context.source,
                    "target": trial.target,
                    "what": trial.method,
                    "heads": len(row["heads"]) if row["heads"] else None,
                    "n": trial.n,
                    "stopped": False,
                    "trainable": row["trainable"],
                    "rows": {name: of["rows"] for name, of in row["after"].items()},
                    "total": row["total"],
                    "history": history,
                    "config": request.config.model_dump(),
                    "cell": row,
                },
            )
    except (Stopped, KeyboardInterrupt):
        # it is run again when the experiment goes on
        runs.delete(Run(runs.run_folder(run_id)))
        raise
    return row


def trial_run_id(experiment: str, trial: Trial) -> str:
    return f"{experiment}-{trial.key}"


def finished(experiment: str, trial: Trial) -> dict | None:
    """The row of a trial that was run to its end; None for any other."""
    run = Run(runs.run_folder(trial_run_id(experiment, trial)))
    try:
        return (
            json.loads(run.file("result.json").read_text(encoding="utf-8"))["cell"]
            if run.status().state == "done"
            else None
        )
    except (OSError, ValueError, KeyError):
        return None


def subject_of(design: Design, data_dir: str | None) -> Subject:
    return Subject(
        model=design.model,
        task=design.task,
        data_dir=data_dir,
        language=design.source,
        device=design.device,
        dtype=design.dtype,
    )


def scoring_of(design: Design) -> Scoring:
    """UserError for a setting of discovery that is none."""
    unknown = set(design.discovery) - set(Scoring.__dataclass_fields__)
    if unknown:
        raise UserError(
            f"{sorted(unknown)[0]!r} is not a setting of discovery; choose from"
            f" {', '.join(Scoring.__dataclass_fields__)}."
        )
    return Scoring(**design.discovery)
