"""What each long job does, from words to result files in its run folder. The shell and the explorer
start the same jobs.

A job gets its settings and a `runs.Writer`; it reports progress by stage, appends an event line for
each result that arrives, writes its result files and returns a summary, which also goes to
`result.json`.
"""

import json
from dataclasses import asdict

from transformers.utils import logging

from ctsft.attribution.means import label_balanced_means
from ctsft.attribution.methods import METHODS
from ctsft.attribution.pool import discovery_set
from ctsft.attribution.score_heads import score_heads
from ctsft.circuit.discovery import iterations
from ctsft.jobs.reporter import Reporter, begin, finish
from ctsft.jobs.requests import Scoring, Subject
from ctsft.jobs.results import save_scores
from ctsft.runs.recorder import Writer

logging.disable_progress_bar()  # a job reports its own stages


def pool_and_means(run: Writer, subject: Subject, scoring: Scoring, cache: bool = True):
    """Model, task, discovery set (from pool A) and label-balanced means, which are kept in the run
    folder.
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
    begin(run, subject, model, {"pool": pool}, scoring=asdict(scoring))
    means = label_balanced_means(
        model,
        task,
        pool,
        scoring.positions,
        reporter.stage("label-balanced means"),
        cache,
        scoring.max_memory,
    )
    reporter.tell("label-balanced means", means.notes)
    means.save(run.file("means.safetensors"))
    texts = [{"id": row.id, "text": row.text, "label": row.label} for row in pool]
    run.file("pool.json").write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")
    return model, task, language, pool, means, reporter


def score(
    run: Writer, subject: Subject, scoring: Scoring, preview: bool = False, cache: bool = True
) -> dict:
    """scores.safetensors, scores.csv, means.safetensors, pool.json; with `preview` attribution
    patching first (preview.safetensors).
    """
    model, task, language, pool, means, reporter = pool_and_means(run, subject, scoring, cache)
    if preview and scoring.method != "atp":
        preview_stage = f"{METHODS['atp'].label} (preview)"
        first = score_heads(
            model,
            task,
            pool,
            means,
            "atp",
            reporter.stage(preview_stage),
            cache=cache,
            positions=scoring.positions,
            max_memory=scoring.max_memory,
        )
        reporter.tell(preview_stage, first.notes)
        save_scores(run, first, "preview")
    stage = METHODS[scoring.method].label
    scores = score_heads(
        model,
        task,
        pool,
        means,
        scoring.method,
        reporter.stage(stage),
        cache=cache,
        **scoring.config,
    )
    reporter.tell(stage, scores.notes)
    save_scores(run, scores, "scores")
    top = [
        {
            "layer": layer,
            "head": head,
            "score": scores.values[layer, head].item(),
            "stderr": scores.stderr[layer, head].item(),
        }
        for layer, head in scores.ranking()
    ]
    return finish(
        run,
        {
            "model": model.name,
            "task": task.name,
            "language": language,
            "method": scores.method,
            "attention": scoring.attention,
            "n_layers": model.n_layers,
            "n_heads": model.n_heads,
            "examples": len(pool),
            "heads": top,
            "values": scores.values.tolist(),
            "notes": scores.notes,
        },
    )


def discover(
    run: Writer, subject: Subject, scoring: Scoring, depth: int, fraction: float, cache: bool = True
) -> dict:
    """circuit.json and the scores of each iteration."""
    model, task, language, pool, means, reporter = pool_and_means(run, subject, scoring, cache)
    circuit, notes = None, []
    report = reporter.stage("discovery")
    for circuit, scores in iterations(
        model,
        task,
        pool,
        means,
        depth,
        fraction,
        report,
        attention=scoring.attention,
        rules=scoring.rules,
        adaptive=scoring.adaptive,
        max_memory=scoring.max_memory,
        batch_tokens=scoring.batch_tokens,
        cache=cache,
    ):
        circuit.save(run.file("circuit.json"))
        reporter.tell(f"iteration {circuit.rule['depth']}", scores.notes)
        notes += [f"iteration {circuit.rule['depth']}: {note}" for note in scores.notes]
        save_scores(
            run,
            scores,
            "scores" if not scores.config.targets else f"scores-{circuit.rule['depth']}",
        )
    return finish(
        run,
        {
            "model": model.name,
            "task": task.name,
            "language": language,
            **circuit.rule,
            "heads": [
                {"layer": layer, "head": head, "why": circuit.why[layer, head]}
                for layer, head in sorted(circuit.heads)
            ],
            "notes": notes,
        },
    )
