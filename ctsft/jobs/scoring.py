"""The jobs that score heads: `score`, and `discover`, which finds a circuit by iterations.

A job gets its run folder and its request; it reports progress by stage, appends an event line for
each result that arrives, writes its result files and returns a summary, which also goes to
`result.json`. The shell and the explorer start the same jobs.
"""

import json
from dataclasses import dataclass, replace

from transformers.utils import logging

from ctsft.attribution.head_roles import HeadRoles
from ctsft.attribution.means import Means, label_balanced_means
from ctsft.attribution.methods import METHODS, check_single_texts
from ctsft.attribution.pool import discovery_set
from ctsft.attribution.position_pass import TOP_HEADS, check_heads, check_settings, score_positions
from ctsft.attribution.position_scores import PositionScores
from ctsft.attribution.role_gates import learn_roles
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.score_heads import score_heads
from ctsft.attribution.scores import Head, Scores
from ctsft.attribution.scoring_pass import ScoringPass
from ctsft.circuit.discovery import iterations
from ctsft.data.task import Example, Task
from ctsft.jobs.reporter import Reporter, begin, finish
from ctsft.jobs.requests import DiscoverRequest, ScoreRequest, Scoring, Subject
from ctsft.jobs.results import save_by_position, save_roles, save_scores
from ctsft.model.model import Model
from ctsft.runs.writer import Writer
from ctsft.utils.atomic_files import write_text
from ctsft.utils.format import head_of

logging.disable_progress_bar()  # a job reports its own stages


@dataclass(frozen=True)
class Discovery:
    """What heads are scored on: a model, the discovery set (of pool A) and its means."""

    run: Writer
    reporter: Reporter
    model: Model
    task: Task
    language: str
    pool: list[Example]
    means: Means
    scoring: Scoring
    cache: bool

    def measured_again(self, model: Model, stage: str) -> "Discovery":
        """The same examples with the means of another model of the same shape."""
        return replace(self, model=model, means=self.label_means(model, stage))

    def label_means(self, model: Model, stage: str) -> Means:
        means = label_balanced_means(
            model,
            self.task,
            self.pool,
            self.scoring.positions,
            self.reporter.stage(stage),
            cache=self.cache,
            max_memory=self.scoring.max_memory,
        )
        self.reporter.tell(stage, means.notes)
        return means

    def score(self, stage: str, method: str | None = None, **settings) -> Scores:
        """Scores by the request's method, or by another one with settings of its own."""
        scores = score_heads(
            self.model,
            self.task,
            self.pool,
            self.means,
            method or self.scoring.method,
            self.reporter.stage(stage),
            cache=self.cache,
            **(settings if method else self.scoring.config),
        )
        self.reporter.tell(stage, scores.notes)
        return scores

    def score_positions(self, scores: Scores, heads: list[Head]) -> PositionScores:
        """The heads at single positions, or else the first ones of the scores."""
        heads = heads or scores.ranking()[: self.scoring.k or TOP_HEADS]
        scoring = ScoringPass(
            self.model, self.task, self.pool, self.means, scores.method, scores.config
        )
        return score_positions(scoring, heads, self.reporter.stage("scores by position"))

    def roles(self) -> HeadRoles:
        """The role of every head, from gates learned on the same texts."""
        return learn_roles(
            self.model,
            self.task,
            self.pool,
            self.means,
            self.reporter.stage("roles of heads"),
            positions=self.scoring.positions,
            batch_tokens=self.scoring.batch_tokens,
            max_memory=self.scoring.max_memory,
        )


def open_discovery(
    run: Writer, subject: Subject, scoring: Scoring, cache: bool = True
) -> Discovery:
    """The model, the discovery set and the label-balanced means, which are saved in the run
    folder (means.safetensors, pool.json). UserError for what cannot be opened.
    """
    reporter = Reporter(run)
    reporter.stage("loading the model")
    model, task, language = subject.open()
    rows = task.load(language, subject.split)
    reporter.stage("choosing the discovery set")
    pool = discovery_set(
        model,
        task,
        task.pools(rows)[0],
        scoring.size,
        scoring.seed,
        cache=cache,
        max_memory=scoring.max_memory,
    )
    begin(run, model, language, {"pool": pool})
    texts = [{"id": row.id, "text": row.text, "label": row.label} for row in pool]
    write_text(run.file("pool.json"), json.dumps(texts, ensure_ascii=False), "the discovery set")
    empty = Discovery(run, reporter, model, task, language, pool, None, scoring, cache)
    discovery = empty.measured_again(model, "label-balanced means")
    discovery.means.save(run.file("means.safetensors"))
    return discovery


def score(run: Writer, request: ScoreRequest) -> dict:
    """scores.safetensors, scores.csv, means.safetensors, pool.json; with `preview` attribution
    patching first (preview.safetensors); with `by_position` positions.json and positions.csv; with
    `roles` roles.json and roles.csv.
    """
    scoring = request.scoring
    heads = [head_of(name) for name in request.heads]
    if request.by_position:  # refused before a model is loaded
        check_single_texts(scoring.method)
        check_settings(ScoreConfig(**scoring.config))
    discovery = open_discovery(run, request.subject, scoring, request.cache)
    if heads:
        check_heads(discovery.model, heads)
    if request.preview and scoring.method != "atp":
        preview = discovery.score(
            f"{METHODS['atp'].label} (preview)",
            "atp",
            positions=scoring.positions,
            max_memory=scoring.max_memory,
        )
        save_scores(run, preview, "preview")
    scores = discovery.score(METHODS[scoring.method].label)
    save_scores(run, scores, "scores")
    by_position = None
    if request.by_position:
        by_position = discovery.score_positions(scores, heads)
        save_by_position(run, by_position)
    roles = None
    if request.roles:
        roles = discovery.roles()
        save_roles(run, roles)
    top = [
        {
            "layer": layer,
            "head": head,
            "score": scores.values[layer, head].item(),
            "stderr": scores.stderr[layer, head].item(),
        }
        for layer, head in scores.ranking()
    ]
    summary = {
        "model": discovery.model.name,
        "task": discovery.task.name,
        "language": discovery.language,
        "method": scores.method,
        "attention": scoring.attention,
        "n_layers": discovery.model.n_layers,
        "n_heads": discovery.model.n_heads,
        "examples": len(discovery.pool),
        "heads": top,
        "values": scores.values.tolist(),
        "by_position": by_position and by_position.summary(),
        "roles": roles and roles.summary(),
        "notes": scores.notes,
        "certificate": scores.certificate,
    }
    return finish(run, summary)


def discover(run: Writer, request: DiscoverRequest) -> dict:
    """circuit.json and the scores of each iteration."""
    scoring = request.scoring
    discovery = open_discovery(run, request.subject, scoring, request.cache)
    circuit, notes = None, []
    for circuit, scores in iterations(
        discovery.model,
        discovery.task,
        discovery.pool,
        discovery.means,
        request.depth,
        request.fraction,
        progress=discovery.reporter.stage("discovery"),
        attention=scoring.attention,
        rules=scoring.rules,
        adaptive=scoring.adaptive,
        max_memory=scoring.max_memory,
        batch_tokens=scoring.batch_tokens,
        cache=request.cache,
    ):
        iteration = circuit.rule["depth"]
        circuit.save(run.file("circuit.json"))
        discovery.reporter.tell(f"iteration {iteration}", scores.notes)
        notes += [f"iteration {iteration}: {note}" for note in scores.notes]
        save_scores(run, scores, f"scores-{iteration}" if scores.config.targets else "scores")
    heads = [
        {"layer": layer, "head": head, "why": circuit.why[layer, head]}
        for layer, head in sorted(circuit.heads)
    ]
    summary = {
        "model": discovery.model.name,
        "task": discovery.task.name,
        "language": discovery.language,
        **circuit.rule,
        "heads": heads,
        "notes": notes,
    }
    return finish(run, summary)
