"""What the current circuit can be compared with: saved circuits, and circuits of the same size that
the same rule selects from other scores of the same model.
"""

from dataclasses import replace

import numpy as np
import torch

import ctsft
from ctsft import runs
from ctsft.attribution.scores import Head, Scores
from ctsft.attribution.variants import VARIANTS
from ctsft.circuit.circuit import Circuit
from ctsft.jobs.requests import Scoring, needed_request, typed_runs
from ctsft.model.model import Model
from ctsft.plots import layered_graph
from explorer.circuit import saved
from explorer.circuit.page_circuit import PageCircuit
from explorer.session import score_runs, scoring_choices

CURRENT = "current"  # the name of the current circuit

GROUPS = {  # group -> its title, and what to do where it is empty
    "saved": ("Saved circuits", "Save a circuit first."),
    "languages": (
        "Other languages",
        "Score another language first: on Relevance, Side by side, or as the source on Setup.",
    ),
    "methods": (
        "Other methods",
        "Score the heads with another method first: on Relevance, Two methods.",
    ),
    "labels": ("Labels", "The scores have only one label."),
    "depths": ("Discovery depths", "Run the discovery first."),
}

Circuits = dict[str, frozenset[Head]]  # heads by name


def choices(shown: PageCircuit) -> dict[str, Circuits]:
    """{group: circuits}"""
    scores, run = shown.scores, shown.run
    subject = run and needed_request(run).subject
    by_language, by_method = {}, {}
    for other in other_scorings(shown.model, run):
        same_subject = needed_request(other).subject == subject
        same_way = way(other) == way(run)
        if same_way and not same_subject:
            by_language[rows_name(other)] = other
        if same_subject and not same_way:
            by_method[VARIANTS[way(other)].label] = other

    def selected(scorings: dict[str, runs.Run]) -> Circuits:
        return {
            name: same_rule(shown.circuit, score_runs.scores_of(scoring))
            for name, scoring in scorings.items()
        }

    labels = list(scores.by_label)
    return {
        "saved": {
            f"saved: {name}": circuit.heads for name, circuit in saved.of_model(shown.model).items()
        },
        "languages": selected(by_language),
        "methods": selected(by_method),
        "labels": {
            f"label {label}": same_rule(shown.circuit, of_label(scores, label))
            for label in (labels if len(labels) > 1 else [])
        },
        "depths": depths(shown.model),
    }


def same_rule(circuit: Circuit, scores: Scores) -> frozenset[Head]:
    """As many heads as the rule of `circuit` selected, by that rule; by top k where the rule has no
    meaning on other scores.
    """
    size = len((circuit.heads | circuit.removed) - circuit.added)
    rule = circuit.rule.get("name")
    if rule not in ("least", "near_zero"):
        rule = "top"
    return ctsft.select(scores, rule, k=size).heads


def of_label(scores: Scores, label: str) -> Scores:
    """The scores on the examples of one label."""
    rows = np.flatnonzero(np.array(scores.labels) == label)
    return replace(
        scores,
        per_example=scores.per_example[torch.from_numpy(rows)],
        examples=[scores.examples[row] for row in rows],
        labels=[label] * len(rows),
    )


def other_scorings(model: Model, run: runs.Run | None) -> list[runs.Run]:
    """All finished scorings of the same weights but `run`, newest first."""
    return [
        other
        for other, request in typed_runs("score")
        if (run is None or other.id != run.id)
        and request.facts.model_fingerprint == model.fingerprint
        and other.status().state == "done"
        and score_runs.scores_of(other) is not None
    ]


def way(run: runs.Run | None) -> str:
    """How a run scored: one of `scoring_choices.WAYS`; by the default settings without a run."""
    return scoring_choices.way_of(needed_request(run).scoring if run else Scoring())


def rows_name(run: runs.Run) -> str:
    """The rows of a scoring, such as "javanese (train)"."""
    subject = needed_request(run).subject
    return f"{subject.language or 'source'} ({subject.split})"


def depths(model: Model) -> Circuits:
    """The circuit of the newest discovery in the same weights, after each of its iterations."""
    for run, request in typed_runs("discover"):
        same_weights = request.facts.model_fingerprint == model.fingerprint
        if not same_weights or run.status().state != "done":
            continue
        circuit = score_runs.circuit_of(run)
        if circuit is not None and circuit.edges:
            grown = layered_graph.circuits_by_iteration(circuit.edges)
            return {f"depth {depth}": heads for depth, heads in enumerate(grown)}
    return {}
