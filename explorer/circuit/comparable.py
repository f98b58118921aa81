"""What a circuit can be compared with: kept ones, and those that the same rule picks, at the same
size, from other scores of the same model.
"""

from dataclasses import replace

import numpy as np
import torch

import ctsft
from ctsft import runs
from ctsft.attribution.methods import VARIANTS
from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.circuit import Circuit
from ctsft.jobs.requests import Scoring
from ctsft.model.model import Model
from ctsft.plots import layered_graph
from explorer.session import score_runs, scoring_choices

NOW = "in force"

GROUPS = {  # what is offered at one click -> its name, and what to do where there is none
    "kept": ("Kept circuits", "Keep a circuit by name first."),
    "languages": (
        "Other languages",
        (
            "Score another language first: on Relevance, Side by side, or with it as the source on"
            " Setup."
        ),
    ),
    "methods": (
        "Other methods",
        "Score the heads in another way first: on Relevance, Two methods.",
    ),
    "labels": ("Labels", "The scores have one label only."),
    "depths": ("Discovery depths", "Run the discovery first."),
}

Found = dict[str, frozenset[Head]]


def offers(
    model: Model, scores: Scores, run: runs.Run | None, circuit: Circuit, kept: dict[str, Circuit]
) -> dict[str, Found]:
    """Heads by name, group by group."""
    size = len((circuit.heads | circuit.removed) - circuit.added)
    rule = circuit.rule.get("name") if circuit.rule.get("name") in ("least", "near_zero") else "top"

    def alike(of: Scores) -> frozenset[Head]:
        return ctsft.select(of, rule, k=size).heads

    others = scored(model, run)
    own = run and run.request.params.get("subject", {})
    languages = {
        named(one): one
        for one in others
        if way(one) == way(run) and one.request.params["subject"] != own
    }
    methods = {
        VARIANTS[way(one)].label: one
        for one in others
        if way(one) != way(run) and one.request.params["subject"] == own
    }
    return {
        "kept": {f"kept: {name}": one.heads for name, one in kept.items()},
        "languages": {name: alike(score_runs.scores_of(one)) for name, one in languages.items()},
        "methods": {name: alike(score_runs.scores_of(one)) for name, one in methods.items()},
        "labels": (
            {f"label {label}": alike(of_label(scores, label)) for label in scores.by_label}
            if len(scores.by_label) > 1
            else {}
        ),
        "depths": depths(model),
    }


def of_label(scores: Scores, label: str) -> Scores:
    """The scores on one label's examples."""
    own = np.flatnonzero(np.array(scores.labels) == label)
    return replace(
        scores,
        per_example=scores.per_example[torch.from_numpy(own)],
        examples=[scores.examples[i] for i in own],
        labels=[label] * len(own),
    )


def scored(model: Model, run: runs.Run | None) -> list[runs.Run]:
    """Every other finished scoring of the same weights, newest first."""

    def own(one: runs.Run) -> bool:
        return (run is None or one.id != run.id) and one.request.params.get(
            "model_fingerprint"
        ) == model.fingerprint

    return [
        one
        for one in runs.list_runs("score")
        if own(one) and one.status().state == "done" and score_runs.scores_of(one) is not None
    ]


def way(run: runs.Run | None) -> str:
    """Of scoring: one of `scoring_choices.WAYS`."""
    known = Scoring.__dataclass_fields__
    return scoring_choices.way_of(
        Scoring(
            **{
                key: value
                for key, value in (run.request.params["scoring"] if run else {}).items()
                if key in known
            }
        )
    )


def named(run: runs.Run) -> str:
    """A scoring's rows, such as "javanese (train)"."""
    subject = run.request.params["subject"]
    return f"{subject.get('language') or 'source'} ({subject.get('split')})"


def discovered(model: Model) -> list[tuple[runs.Run, Circuit]]:
    """Finished discoveries in the same weights that have heads and edges, newest first."""
    found = [
        (run, score_runs.circuit_of(run))
        for run in runs.list_runs("discover")
        if run.request.params.get("model_fingerprint") == model.fingerprint
        and run.status().state == "done"
    ]
    return [(run, circuit) for run, circuit in found if circuit is not None and circuit.edges]


def depths(model: Model) -> Found:
    """The newest discovery's circuit after each of its iterations."""
    return {
        f"depth {depth}": heads
        for _, circuit in discovered(model)[:1]
        for depth, heads in enumerate(layered_graph.circuits_by_iteration(circuit.edges))
    }
