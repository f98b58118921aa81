"""The form of an experiment as a page's first screen, while torch is imported behind it: for models
whose shape is stored (`stored_shape`), with the task that belongs to them.
"""

from collections.abc import Mapping

import streamlit as st

from ctsft.runs.recorded_models import recorded_model
from explorer.session import inputs, link_format, recent, recording, stored_shape
from explorer.session.arrival import EARLY
from explorer.session.binding import view

TAB = "Experiment"
# what the form shows or puts into the design, beside its own fields
FIELDS = ("target", "size", "pool_seed", "method", "attention", "positions", "rules")


def opened(query: Mapping[str, str]) -> dict | None:
    """The view's fields that an address sets beside those of the form; None where Fine-tune shows
    something else, or another model. A change of the tab in the session counts before the address.
    """
    tab = view().tune_tab if EARLY in st.session_state else query.get("tune-tab")
    model, present = query.get("model", stored_shape.BUNDLED), query.get("present")
    task = stored_shape.task_of(model)
    if tab != TAB or present or "data" in query or task is None:
        return None
    if query.get("task", task) != task:
        return None
    recorded = recorded_model(model)
    fields = {"model": model, "tune_tab": TAB, **recent.model_fields(model)}
    if recorded:
        fields |= recording.settings(recorded)
    named, _ = link_format.read(query, {})
    fields |= {name: value for name, value in named.items() if name in FIELDS}
    languages = inputs.load_task(task, "").languages
    if named.get("source") in languages:
        fields["source"] = named["source"]
    if fields.get("target") not in languages:
        fields.pop("target", None)
    return fields
