"""What the trials of one design share: the model, the rows, the scores, the source's Fisher
information and the metrics before tuning.
"""

from collections.abc import Mapping
from functools import cached_property

import torch

from ctsft.circuit.circuit import Circuit
from ctsft.circuit.selection import select
from ctsft.data.task import Example, balanced_sample
from ctsft.experiment.design_checks import target_pool
from ctsft.jobs.advice import advice_rows
from ctsft.jobs.experiment_design import METHODS, Design, Trial
from ctsft.jobs.related_abilities import related_rows, texts_of
from ctsft.jobs.request_parts import Subject, Tuning, base_model
from ctsft.jobs.results import read_scores
from ctsft.model.loading import load_model
from ctsft.model.model import Model
from ctsft.tuning.config import TuneConfig
from ctsft.tuning.evaluation_sets import EvaluationSet, TaskRows, Texts, check_sets, measure_set
from ctsft.tuning.gradients import fisher
from ctsft.tuning.head_advice import advise_heads
from ctsft.tuning.recipes import RECIPES, Recipe
from ctsft.utils.errors import UserError

NO_EVALUATION = 10**9  # steps between evaluations: only before the first and after the last


class TrialContext:
    """A design's model and rows, and what its trials share, each loaded or computed once.

    scores: the run or file that heads are selected from.
    """

    def __init__(self, design: Design, data_dir: str | None, scores: str):
        self.design = design
        self.data_dir = data_dir
        self.scores_run = scores
        self.subject = subject_of(design, data_dir)
        self.model, self.task, self.source = self.subject.open()
        self._models: dict[str, Model] = {}
        self._loaded_values: dict[str, dict[str, torch.Tensor]] = {}
        self._metrics: dict[tuple[str, str, str], dict] = {}
        self._circuits: dict[tuple, Circuit] = {}
        self._rows: dict[tuple[str, str], list[Example]] = {}
        self._related: dict[str, TaskRows] | None = None

    def check(self):
        """UserError for what the model cannot provide, before any trial is run."""
        heads = len(self.model.heads)
        if self.design.k > heads:
            raise UserError(
                f"k is {self.design.k}, and the model has {heads} heads; choose 0 to {heads}."
            )
        for trial in self.design.trials({})[:1]:
            check_sets(self.model, self.related_rows(trial) | self.texts(trial))
        if any(recipe_of(name).from_base for name in self.design.methods):
            base_model(
                self.subject, Tuning(target=self.source, what="direct", base=self.design.base)
            )

    def rows(self, language: str, split: str) -> list[Example]:
        if (language, split) not in self._rows:
            self._rows[language, split] = self.task.load(language, split)
        return self._rows[language, split]

    def evaluation_rows(self, language: str, split: str) -> list[Example]:
        return self.rows(language, split)[: self.design.rows]

    def evaluation_sets(self, trial: Trial) -> dict[str, list[Example] | TaskRows]:
        """{language or related task: the rows that a trial is measured on}."""
        split = trial.split
        rows = {name: self.evaluation_rows(name, split) for name in self.languages(trial)}
        return rows | self.related_rows(trial)

    def related_rows(self, trial: Trial) -> dict[str, TaskRows]:
        """{its name: rows of a related task}; none for a trial that only chooses a rate."""
        if trial.split != "test" or not self.design.related_tasks:
            return {}
        if self._related is None:
            related = related_rows(self.tuning(trial), trial.split)
            self._related = {
                name: TaskRows(of.task, of.rows[: self.design.rows]) for name, of in related.items()
            }
        return self._related

    def texts(self, trial: Trial) -> dict[str, Texts]:
        """{its name: the texts whose perplexity a trial measures}; none where it only chooses a
        rate.
        """
        if trial.split != "test":
            return {}
        split = "valid" if self.design.eval_every else trial.split
        return texts_of(self.task, self.tuning(trial), self.evaluation_rows(self.source, split))

    def pool(self, target: str) -> list[Example]:
        """The target's train rows that trials draw from."""
        return target_pool(self.design, self.task, self.rows(target, "train"))

    def train_rows(self, trial: Trial) -> list[Example]:
        return balanced_sample(self.pool(trial.target), trial.n, self.task.labels, trial.seed)

    @cached_property
    def scores(self):
        return read_scores(self.scores_run)

    @cached_property
    def information(self) -> list[torch.Tensor]:
        """Fisher information of the source (`gradients.fisher`)."""
        return fisher(self.fresh(self.subject.model), self.task, self.source_rows)

    @property
    def source_rows(self) -> list[Example]:
        """The source rows that advice is computed on."""
        return advice_rows(self.task, self.rows(self.source, "train"))

    def kept_rows(self, trial: Trial) -> list[Example] | None:
        """The source rows that a trial reads to keep the source; None for a method without."""
        if not (self.config(trial).needs_source or recipe_of(trial.method).from_source):
            return None
        return self.task.pools(self.rows(self.source, "train"))[0]

    def loaded_values(self, trial: Trial) -> dict[str, torch.Tensor]:
        """The values of the model that a trial tunes, as it was loaded."""
        return self._loaded_values[self.start_name(trial)]

    def fresh(self, name: str) -> Model:
        """A model with the values it was loaded with, whatever the trials before did to it."""
        if name not in self._models:
            model = self.model
            if name != self.subject.model:
                model = load_model(name, self.subject.device, self.subject.dtype)
            self._models[name] = model
            self._loaded_values[name] = {
                key: value.detach().clone() for key, value in model.hf.state_dict().items()
            }
        model, loaded = self._models[name], self._loaded_values[name]
        current = model.hf.state_dict()
        if current.keys() != loaded.keys():
            raise RuntimeError(
                f"A trial left {sorted(current.keys() ^ loaded.keys())[:3]} behind in the model."
            )
        with torch.no_grad():
            for key, value in current.items():
                value.copy_(loaded[key])
        model.hf.eval()
        return model

    def metrics_before(
        self, model: Model, split: str, sets: Mapping[str, EvaluationSet]
    ) -> dict[str, dict]:
        """{name: metrics} of a model as it was loaded."""
        for name, one in sets.items():
            if (model.name, name, split) not in self._metrics:
                self._metrics[model.name, name, split] = measure_set(model, self.task, one)
        return {name: self._metrics[model.name, name, split] for name in sets}

    def circuit(self, trial: Trial, train: list[Example]) -> Circuit | None:
        """The heads of a trial: by a rule from the shared scores, or by advice from its training
        rows and no others. None for a method without heads.
        """
        rule, k = recipe_of(trial.method).rule, self.design.k
        if rule is None:
            return None
        if rule != "advised":
            options = {"seed": trial.seed} if rule == "random" else {}
            return select(self.scores, rule, k=k, **options)
        key = (trial.target, trial.n, trial.seed)
        if key not in self._circuits:
            information = self.information
            model = self.fresh(self.subject.model)
            advice = advise_heads(
                model, self.task, train, self.source_rows, information=information
            )
            self._circuits[key] = advice.circuit(k)
        return self._circuits[key]

    def config(self, trial: Trial) -> TuneConfig:
        setting, method = self.design.setting(trial.setting), METHODS[trial.method]
        return TuneConfig(
            hold=self.design.hold if method.held else 0.0,
            replay=(self.design.replay or trial.n) if method.replayed else 0,
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
            what=METHODS[trial.method].recipe,
            scores=self.scores_run,
            k=self.design.k,
            n=trial.n,
            eval_split=trial.split,
            final_split=None,
            related=tuple(self.design.related),
            related_tasks=tuple(self.design.related_tasks) if trial.split == "test" else (),
            perplexity=self.design.perplexity and trial.split == "test",
            text=self.design.text if trial.split == "test" else None,
            pool=self.design.pool,
            base=self.design.base,
            shares=self.design.share,
        )

    def start_model(self, trial: Trial) -> Model:
        """The model that a trial tunes, as it was loaded: the design's, or its base model."""
        return self.fresh(self.start_name(trial))

    def start_name(self, trial: Trial) -> str:
        if recipe_of(trial.method).from_base:
            return base_model(self.subject, self.tuning(trial))
        return self.subject.model

    def languages(self, trial: Trial) -> list[str]:
        return list(dict.fromkeys((self.source, trial.target, *self.design.related)))


def recipe_of(method: str) -> Recipe:
    """The recipe of a method of a design."""
    return RECIPES[METHODS[method].recipe]


def subject_of(design: Design, data_dir: str | None) -> Subject:
    return Subject(
        model=design.model,
        task=design.task,
        data_dir=data_dir,
        language=design.source,
        device=design.device,
        dtype=design.dtype,
    )
