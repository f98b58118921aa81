"""Run folders as the Fine-tune page finds them: scores and tuning runs, made by hand."""

import json
from contextlib import suppress

import torch

import ctsft
from ctsft import runs
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scores import Scores
from ctsft.data.task import rows_hash
from ctsft.jobs.requests import FinetuneRequest, Scoring, Tuning
from ctsft.jobs.tuning import tune
from ctsft.tuning.config import TuneConfig
from explorer.session import view as session_view
from explorer.session.requests import score_request
from support.tasks import cued, two_languages, write_task


def two_targets(folder) -> str:
    languages, splits = ("indonesian", "javanese", "english"), ("train", "valid", "test")
    rows = {
        (language, split): cued(12, i) for i, language in enumerate(languages) for split in splits
    }
    return str(write_task(folder / "both", rows, targets=["javanese", "english"]))


def score(view: session_view.View) -> runs.Run:
    """A finished scoring run: L2.H3 and L0.H1 lead, L1.H0 is least, the others lie apart near
    zero.
    """
    values = torch.linspace(0.01, 0.12, 12).reshape(3, 4)
    values[2, 3], values[0, 1], values[1, 0] = 2.0, 1.0, -1.0
    about = {"model_type": "qwen2", "n_layers": 3, "n_heads": 4}
    scores = Scores(
        values.expand(6, 3, 4).clone(),
        list("abcdef"),
        ["negative", "neutral", "positive"] * 2,
        "cdt",
        ScoreConfig(),
        about,
    )
    with runs.record(score_request(view)) as run:
        scores.save(run.file("scores.safetensors"))
    return run


def really_tuned(model, rows, folder, **tuning) -> tuple[runs.Run, session_view.View]:
    """A run that trained a tiny model's near-zero heads, and the view that it belongs to."""
    tables = two_languages(rows, 24, 6, (24, 6, 6))
    view = session_view.View(
        model=str(model),
        task=str(write_task(folder / "own", tables)),
        target="javanese",
        n=6,
        k=2,
        size=6,
        method="atp",
    )
    request = FinetuneRequest(
        subject=view.subject,
        scoring=Scoring(size=6, method="atp"),
        tuning=Tuning(target="javanese", what="near_zero", n=6, k=2, **tuning),
        config=TuneConfig(epochs=1, learning_rate=1e-2, batch_size=6),
    )
    with runs.record(request) as run:
        tune(run, request)
    return run, view


def tuned(
    view: session_view.View,
    what="circuit",
    after=(0.8, 0.7),
    steps=20,
    raising: Exception | None = None,
    result=True,
    **changes,
) -> runs.Run:
    """A tuning run's folder as the job leaves it: indonesian from .85, javanese from .50."""
    config = TuneConfig(
        epochs=view.epochs,
        learning_rate=view.lr,
        batch_size=view.batch,
        seed=changes.pop("seed", view.tune_seed),
    )
    task = ctsft.load_task(view.task)
    prints = {}
    for name in ("indonesian", view.target):
        split = "valid" if "valid" in task.splits(name) else "test"
        prints[name] = rows_hash(task.load(name, split))
    request = FinetuneRequest(
        subject=view.subject,
        tuning=Tuning(target=view.target, what=what, circuit="c.json", k=2, n=view.n),
        config=config,
        name=changes.pop("name", ""),
    )
    ends = {"indonesian": (0.85, after[0]), view.target: (0.5, after[1])}
    with suppress(ValueError), runs.record(request, **changes) as run:
        run.add_facts(data_fingerprints={"train": "x", **prints})
        for step in range(0, steps + 1, 5):
            part = step / 20
            run.event(
                kind="evaluation",
                step=step,
                steps=20,
                epoch=part,
                loss=1.0,
                accuracy={
                    "indonesian": 0.85 + part * (after[0] - 0.85),
                    view.target: 0.5 + part * (after[1] - 0.5),
                },
            )
        if raising:
            raise raising
        if result:
            heads = 2 if what not in ("norms", "full") else None
            counts = {"trainable": 100, "changed": 90, "total": 1000}
            rows = {language: before_and_after(*two) for language, two in ends.items()}
            final = {
                "split": "test",
                **{
                    when: {name: texts[i] for name, texts in rows.items()}
                    for i, when in enumerate(("before", "after"))
                },
            }
            ids = [f"r{i}" for i in range(ROWS)]
            answered = {name: {"hash": prints[name], "ids": ids} for name in ends}
            result = {"heads": heads, **counts, "notes": ["10 kept their value."]}
            result |= {"final": final, "answered": {"split": "test", "rows": answered}}
            run.file("result.json").write_text(json.dumps(result))
    return run


ROWS = 60


def before_and_after(before: float, after: float) -> tuple[dict, dict]:
    """Metrics of 60 rows, as a job stores them: a few texts go against the change."""
    n_before, n_after = round(before * ROWS), round(after * ROWS)
    against = min(2, ROWS - max(n_before, n_after), min(n_before, n_after))
    texts = ["1" * n_before + "0" * (ROWS - n_before)]
    if n_after > n_before:
        texts.append("0" * against + "1" * n_after + "0" * ROWS)
    else:
        texts.append("1" * (n_after - against) + "0" * (n_before - n_after + against))
        texts[1] += "1" * against + "0" * ROWS
    return tuple(
        {"accuracy": share, "right": text[:ROWS], "rows": ROWS}
        for share, text in zip((before, after), texts, strict=True)
    )
