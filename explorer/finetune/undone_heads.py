"""Giving single heads of a finished run their old weights back, on the map of what changed: a click
undoes a head, both accuracies are measured again, and a delta of its own can be written.
"""

import streamlit as st

import ctsft
from ctsft import runs
from ctsft.attribution.scores import Head
from ctsft.jobs.export import base_path
from ctsft.jobs.undo import accuracies, open_undoing
from ctsft.plots import change_map
from ctsft.runs import results
from ctsft.utils.format import head_name
from explorer.finetune import cheapest_damage
from explorer.finetune.undo_choice import choose, kept_file, metrics, toggle, undone
from explorer.session import binding, errors, inputs
from explorer.text.glossary import TERMS
from explorer.widgets import chart, head_clicks

DELTA = "delta.safetensors"
MAP = "change_map"


def draw(run: runs.Run, rows: list[dict], trained: frozenset[Head]):
    """The change map with clicks, and under it what the clicks do. rows: the change of each head.
    trained: the heads that the run chose to train; none: all were.
    """
    # alone, so that a click draws nothing else again
    errors.fragment(map_and_measures)(run.id, rows, trained)


def map_and_measures(run_id: str, rows: list[dict], trained: frozenset[Head]):
    run = runs.get(run_id)
    offered = undoable(rows, trained)
    heads = [head for head in undone(run_id) if head in offered]
    figure = change_map.change_map(rows, trained, binding.view().flip, frozenset(heads))
    chart.show(figure, MAP, width="content", name=f"change-{run_id}")
    head_clicks.draw(MAP, offered, lambda head: toggle(run_id, head))
    if not offered or not results.result(run).get("target"):
        return
    st.multiselect(
        "Heads with their old weights",
        sorted(offered),
        format_func=head_name,
        key=f"undone_{run_id}",
        help=TERMS["undo"],
        placeholder="Click heads on the map, or choose them here",
    )
    if heads:
        measures(run, heads)
    cheapest_damage.draw(run, offered)


def undoable(rows: list[dict], trained: frozenset[Head]) -> set[Head]:
    """The heads that can be undone: the trained ones that changed."""
    changed = {
        (row["layer"], row["head"]) for row in rows if row["layer"] is not None and row["change"]
    }
    return changed & trained if trained else changed


def measures(run: runs.Run, heads: list[Head]):
    """Both accuracies with these heads undone, against the tuned model, and what to do with it."""
    if inputs.load_model(base_path(run)).n_params > inputs.SMALL:
        cheapest_damage.measured_by_job(run, heads)
    else:
        stamp = run.file(DELTA).stat().st_mtime
        measured = measure(run.id, stamp, tuple(heads))
        metrics(measured["rows"], measured["tuned"], measured["undone"])
    with st.container(horizontal=True):
        st.button(
            "Reset",
            icon=":material/restart_alt:",
            key=f"reset_undo_{run.id}",
            on_click=choose,
            args=(run.id, []),
            help="All heads have their tuned weights again.",
        )
        if not kept_file(run, heads).is_file() and st.button(
            "Keep this",
            icon=":material/save:",
            key=f"keep_undo_{run.id}",
            help="Writes a delta of its own, without the change of these heads.",
        ):
            ctsft.undo_heads(run.file(DELTA), heads, kept_file(run, heads))
            st.rerun()
    if kept_file(run, heads).is_file():
        st.success("The delta without these heads is stored:", icon=":material/check:")
        st.code(str(kept_file(run, heads)), language=None)


@st.cache_data(show_spinner="Measuring both accuracies ...", max_entries=256)
def measure(run_id: str, changed_at: float, heads: tuple[Head, ...]) -> dict:
    """{"rows": {language: number}, "tuned", "undone": {language: accuracy}} on validation rows.
    `changed_at` is part of the cache's key.
    """
    undoing, rows, _ = open_undoing(runs.get(run_id))
    return {
        "rows": {name: len(some) for name, some in rows.items()},
        "tuned": accuracies(undoing, rows, []),
        "undone": accuracies(undoing, rows, list(heads)),
    }
