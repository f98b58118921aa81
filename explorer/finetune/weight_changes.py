"""How much a tuning run changed each head."""

import streamlit as st

from ctsft import runs
from ctsft.jobs.export import base_path
from ctsft.jobs.requests import needed_request
from ctsft.plots import change_map
from ctsft.runs import results
from ctsft.tuning.delta_comparison import head_changes
from explorer.finetune import command, rescored_heads, undone_heads
from explorer.session import inputs
from explorer.text.glossary import TERMS


def draw(run: runs.Run, trained: frozenset):
    st.write(
        "How much the parameters of each head changed: query, key and value rows and output columns"
        " together. Check whether the change is where the relevance is. Click a head to give it its"
        " old weights back."
    )
    rows = changes(run)
    if rows is None:
        st.info(
            "For a model of this size, a separate run measures the change, together with the scores"
            " after tuning. Start it under *Did the circuit change?*",
            icon=":material/grid_on:",
        )
        return
    undone_heads.draw(run, rows, trained)
    text = change_map.change_sentence(rows, trained)
    if has_adapters(run):
        text += " Adapters change whole matrices, and so every head of an adapted layer."
    st.caption(text, help=TERMS["change"])


def changes(run: runs.Run) -> list[dict] | None:
    """The change of each head: measured here for a small model, otherwise by the rescoring run;
    None where there is none yet.
    """
    rescoring = rescored_heads.newest_rescoring(run)
    measured = results.result(rescoring).get("changes") if rescoring else None
    if measured is not None:
        return measured
    model = inputs.load_model(base_path(run))
    if model.n_params > inputs.SMALL:
        return None
    path = run.file("delta.safetensors")
    return measure(base_path(run), model.fingerprint, str(path), path.stat().st_mtime)


@st.cache_data(show_spinner="Measuring the changes ...", max_entries=32)
def measure(model: str, weights: str, path: str, changed_at: float) -> list[dict]:
    """`weights` and `changed_at` are part of the cache's key."""
    return head_changes(inputs.load_model(model), path)


def has_adapters(run: runs.Run) -> bool:
    return needed_request(run).tuning.what in command.ADAPTERS
