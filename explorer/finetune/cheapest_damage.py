"""Undo the cheapest damage: a job that looks for the heads whose old weights regain the source for
little of the target, and the chart of what it found.
"""

import streamlit as st

from ctsft import runs
from ctsft.attribution.scores import Head
from ctsft.jobs.requests import UndoRequest, typed_runs
from ctsft.plots import undo_chart
from ctsft.runs import results
from ctsft.utils.format import head_name
from explorer.finetune.undo_choice import choose, metrics
from explorer.session import own_runs
from explorer.text.glossary import TERMS
from explorer.text.run_names import display_name
from explorer.widgets import chart, run_progress
from explorer.widgets.run_receipts import covered_by


def draw(run: runs.Run, offered: set[Head]):
    """The button, the running job, or its result. offered: the heads that can be undone."""
    job = newest(run, ())
    if job and job.status().active:
        run_progress.watch(job, savable=False)
        return
    done = results.result(job) if job else {}
    if job and not done:
        run_progress.ended(job)
    if done:
        with covered_by("undo", job, run):
            outcome(run, job, done)
    elif st.button(
        "Undo the cheapest damage",
        icon=":material/healing:",
        key=f"cheapest_{run.id}",
        help=TERMS["undo"],
    ):
        own_runs.start(UndoRequest(tuned=run.id))
        st.rerun()


def outcome(run: runs.Run, job: runs.Run, done: dict):
    figure = undo_chart.undo_paths(done)
    chart.show(figure, f"undo-{job.id}", name=f"undo-{run.id}")
    st.markdown(sentence(done), help=TERMS["undo"])
    heads = [tuple(head) for head in done["heads"]]
    if heads:
        st.button(
            "Undo these heads on the map",
            icon=":material/healing:",
            key=f"take_{job.id}",
            on_click=choose,
            args=(run.id, heads),
        )


def sentence(done: dict) -> str:
    """What was found, with the figures on test rows where they were measured."""
    if not done["heads"]:
        return (
            "On validation rows no heads regain the source for at most a fifth of the target's"
            " gain, so none is undone."
        )
    names = ", ".join(head_name(tuple(head)) for head in done["heads"])
    text = f"{names}: {done['undone'] / done['trained']:.1%} of what was trained."
    final = done.get("final")
    for language in (done["source"], done["target"]) if final else ():
        before, tuned, after = (final[when][language] for when in ("before", "tuned", "undone"))
        text += (
            f" {display_name(language)}, {final['split']} rows: {before:.3f} before,"
            f" {tuned:.3f} tuned, {after:.3f} with these heads undone."
        )
    return text


def newest(run: runs.Run, heads: tuple[str, ...]) -> runs.Run | None:
    """The newest undoing of these heads of the run's current result; none: of the cheapest."""
    finished = run.status().finished or 0
    for job, request in typed_runs("undo"):
        is_of_it = request.tuned == run.id and request.heads == heads
        if is_of_it and request.created >= finished:
            return job
    return None


def measured_by_job(run: runs.Run, heads: list[Head]):
    """For a model that a page does not run: a job measures the accuracies."""
    names = tuple(map(head_name, heads))
    job = newest(run, names)
    if job and job.status().active:
        run_progress.watch(job, savable=False)
        return
    done = results.result(job) if job else {}
    if done:
        points = done["paths"]["named"]
        with covered_by("undone", job, run):
            metrics(done["rows"], points[0]["accuracy"], points[-1]["accuracy"])
        return
    if job:
        run_progress.ended(job)
    if st.button("Measure", icon=":material/speed:", key=f"measure_undo_{run.id}"):
        own_runs.start(UndoRequest(tuned=run.id, heads=names, final_split=None))
        st.rerun()
