"""Folders for the browser benchmark: random models of a wished shape, and finished scoring runs,
made without scoring anything.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from ctsft import load_model, load_task, runs
from ctsft.attribution.means import Means
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scores import Scores
from ctsft.jobs.requests import ScoreRequest, Scoring, Subject

TASK, SOURCE = "demo", "indonesian"


@contextmanager
def home_at(folder: Path) -> Iterator[Path]:
    """CTSFT_HOME for a moment."""
    before = os.environ.get("CTSFT_HOME")
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["CTSFT_HOME"] = str(folder)
    try:
        yield folder
    finally:
        os.environ.pop("CTSFT_HOME") if before is None else os.environ.update(CTSFT_HOME=before)


def scored_home(folder: Path) -> Path:
    """A folder in which the bundled model's scoring run with the default settings is done; its
    scores are random.
    """
    with home_at(folder):
        keep_scores("demo")
    return folder


def scored_model(folder: Path, home: Path, layers: int, heads: int) -> Path:
    """A random model with `heads` heads in each of `layers` layers, and in `home` its scoring run;
    the model's folder.
    """
    torch.manual_seed(0)
    tokenizer = load_model("demo").tokenizer
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=8 * heads,
            intermediate_size=16 * heads,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads // 4,
            max_position_embeddings=256,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    with home_at(home):
        keep_scores(str(folder))
    return folder


def keep_scores(name: str):
    """The folder that a scoring run leaves, its numbers drawn."""
    model, task, scoring = load_model(name), load_task(TASK), Scoring()
    draw = torch.Generator().manual_seed(1)
    rows = [
        row
        for label in task.labels
        for row in [row for row in task.load(SOURCE, "train") if row.label == label][
            : scoring.size // 3 + 1
        ]
    ]
    rows = rows[: scoring.size]
    shape = model.n_layers, model.n_heads
    about = {
        "model": name,
        "model_type": model.model_type,
        "n_layers": shape[0],
        "n_heads": shape[1],
        "n_kv_heads": model.n_kv_heads,
        "task": TASK,
    }
    scores = Scores(
        torch.randn(*shape, generator=draw) + 0.3 * torch.randn(len(rows), *shape, generator=draw),
        [row.id for row in rows],
        [row.label for row in rows],
        scoring.method,
        ScoreConfig(),
        about,
    )
    by_label = {label: torch.randn(*shape, model.d_head, generator=draw) for label in task.labels}
    counts = {label: sum(row.label == label for row in rows) for label in task.labels}
    subject = Subject(name, TASK, None, SOURCE, "train")
    with runs.record(ScoreRequest(subject=subject, scoring=scoring)) as run:
        run.add_facts(model_fingerprint=model.fingerprint)
        scores.save(run.file("scores.safetensors"))
        Means(sum(by_label.values()) / len(by_label), by_label, counts).save(
            run.file("means.safetensors")
        )
        run.file("pool.json").write_text(
            json.dumps([{"id": row.id, "text": row.text, "label": row.label} for row in rows]),
            encoding="utf-8",
        )
