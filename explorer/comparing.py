"""Tuning runs side by side: the table's frame, curves that may share a chart, and the charts as one HTML page."""
import html
from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from ctsft import results, runs
from explorer import curves, outcomes, plots, state

_text, _number = st.column_config.TextColumn, st.column_config.NumberColumn
COLUMNS = {  # first what came of a run, then its settings
    "what": _text("moved", pinned=True, help="What moved: the circuit, a control with as many heads, only the norms, or everything."),
    "heads": _number("heads", help="Attention heads that moved."),
    "share": _number("share moved", format="percent", help="Share of the model's numbers that moved, norms included."),
    "source accuracy": _text("source accuracy", help="Accuracy on the source language before and after."),
    "target accuracy": _text("target accuracy", help="Accuracy on the target language before and after."),
    "forgetting": _number("forgetting", format="%+.3f", help="Source accuracy before minus after: above 0 is loss."),
    "gain": _number("gain", format="%+.3f", help="Target accuracy after minus before."),
    "state": _text("state", help="A stopped run kept what it had learned by then."),
    "target": _text("target", help="Language tuned on."),
    "n": _number("n", help="Labelled target examples; 0: all there are."),
    "learning_rate": _number("lr", format="%.0e", help="Peak learning rate."),
    "epochs": _number("epochs", format="%g", help="Passes over the examples."),
    "seed": _number("seed", format="%d", help="Draws the examples and their order."),
    "name": _text("name"),
    "run": _text("run", help="The run's folder, as `python -m ctsft runs` lists it."),
}


def frame(rows: list[Mapping]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    table["what"] = [outcomes.WHAT.get(row["what"], (row["what"],))[0] for row in rows]
    for side in ("source", "target"):
        table[f"{side} accuracy"] = [f"{row[f'{side}_before']:.3f} → {row[f'{side}_after']:.3f}" for row in rows]
    return table[list(COLUMNS)]


def start_of(row: Mapping) -> tuple:
    """What has to be equal for two runs' curves to share one level before tuning."""
    return row["model"], row["task"], row["source"], round(row["source_before"], 6)


def overlay(rows: list[Mapping], called: list[str]) -> tuple[go.Figure, int]:
    """The curves of the runs that began where the first one did, and how many did not."""
    kept = [(row, name) for row, name in zip(rows, called, strict=True) if start_of(row) == start_of(rows[0])]
    history = {name: results.evaluations(runs.get(row["run"])) for row, name in kept}
    levels = {language: share for of in history.values() for language, share in of[0]["accuracy"].items()}
    roles = {rows[0]["source"]: "source", **{row["target"]: "target" for row, _ in kept}}
    steps = max(of[0].get("steps", of[-1]["step"]) for of in history.values())
    subject = runs.get(rows[0]["run"]).request.params["subject"]
    labels = state.load_task(subject["task"], subject.get("data_dir") or "").labels
    return curves.overlay_curves({name: outcomes.flat(of) for name, of in history.items()}, roles, levels, total_steps=steps,
                                 chance=1 / len(labels)), len(rows) - len(kept)


def page_of(figures: Mapping[str, go.Figure]) -> bytes:
    """The figures as one HTML page that needs no network."""
    parts = [f"<h2>{html.escape(title)}</h2><p>{html.escape(plots.alt(fig))}</p>{fig.to_html(full_html=False, include_plotlyjs=i == 0)}"
             for i, (title, fig) in enumerate(figures.items())]
    head = "<!doctype html><meta charset='utf-8'><title>Tuning runs</title><body style='font-family: sans-serif; margin: 2rem'>"
    return (head + "".join(parts)).encode()
