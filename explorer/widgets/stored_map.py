"""The head map of stored scores as a page's first screen, while the libraries that the page needs
(torch, transformers) are imported behind it. Nothing here imports them.

The run is found by its request as it stands in the file. Whether its weights are still those of the
model is checked by the page itself, which takes this one's place as soon as it can.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import streamlit as st
from safetensors import SafetensorError, safe_open

from ctsft import runs
from ctsft.attribution.method_names import NAMES
from ctsft.plots import map_axes
from ctsft.plots.head_grid import Scale, head_grid, hover_texts
from ctsft.runs.recorded_models import recorded_model
from ctsft.utils.json_files import parse_json, read_regular
from explorer.session import binding, recording
from explorer.session.view import View
from explorer.widgets import chart, receipt

# {address of a page: the key of its map, and the widths of its columns}
PAGES = {"relevance": ("relevance_map", (1, 1)), "circuit": ("circuit_map", (3, 2))}
# {parameter of an address: the view's field}, of those that say which scores are shown
FIELDS = {
    "model": "model",
    "task": "task",
    "data": "data_dir",
    "source": "source",
    "rows": "split",
    "n": "size",
    "seed": "pool_seed",
    "method": "method",
    "attention": "attention",
    "rules": "rules",
    "positions": "positions",
}
WHOLE = ("n", "seed")  # parameters that are whole numbers
# parameters under which the page shows something else than the map of these scores
OTHERWISE = ("present", "map", "colours")


@dataclass(frozen=True)
class StoredMap:
    """The scores of a finished run, [layer, head]."""

    values: np.ndarray
    method: str
    examples: int
    flip: bool
    run: runs.Run


def find(query: Mapping[str, str]) -> StoredMap | None:
    """The map of an address, or of the session where the address says nothing; None where no
    finished run has such scores, or where the page would show something else.
    """
    if any(name in query for name in OTHERWISE) or binding.view().present:
        return None
    try:
        view = described(query) if query else binding.view()
        recorded = recorded_model(view.model) is not None  # the page shows no others
        listed = [*runs.list_runs("score"), *runs.list_read_only("score", recorded=recorded)]
        run = next((run for run in listed if matches(run, view) and is_done(run)), None)
        return read(run, view.flip) if run else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError):
        return None  # the page says what is wrong


def described(query: Mapping[str, str]) -> View:
    """A view with the fields of `FIELDS` that an address names; of a recorded model, with the
    settings of its recording. ValueError for a wrong number.
    """
    named = {name: text for name, text in query.items() if name in FIELDS}
    values = {
        FIELDS[name]: int(text) if name in WHOLE else str(text) for name, text in named.items()
    }
    recorded = recorded_model(str(query.get("model", "")))
    fixed = recording.settings(recorded) if recorded else {}
    return replace(View(), **fixed | values, flip=query.get("flip") == "1")


def is_done(run: runs.Run) -> bool:
    return run.status().state == "done" and run.file("scores.safetensors").is_file()


def matches(run: runs.Run, view: View) -> bool:
    """Whether the request of a run asks for the scores of a view."""
    request = parse_json(read_regular(run.file("request.json")))
    subject, scoring = request["subject"], request["scoring"]
    language = subject.get("language") or request.get("facts", {}).get("source")
    return (
        subject["model"] == view.model
        and subject["task"] == view.task
        and (subject.get("data_dir") or "") == view.data_dir
        and subject["split"] == view.split
        and not request.get("by_position")
        and language == view.source
        and scoring["size"] == view.size
        and scoring["seed"] == view.pool_seed
        and all(
            scoring[name] == getattr(view, name)
            for name in ("method", "attention", "rules", "positions")
        )
    )


def read(run: runs.Run, flip: bool) -> StoredMap | None:
    """None for values that are no map."""
    with safe_open(run.file("scores.safetensors"), "np") as file:
        said = json.loads(file.metadata()["scores"])
        values = file.get_tensor("values")
    is_map = values.ndim == 2 and values.size and not np.isinf(values).any()
    known = said["method"] in NAMES and not np.isnan(values).all() if is_map else False
    return StoredMap(values, said["method"], len(said["examples"]), flip, run) if known else None


def draw(stored: StoredMap, title: str):
    """The map where its page has it; at its right, what is being waited for."""
    st.header(title)
    key, widths = PAGES[title.lower()]
    left, right = st.columns(widths, gap="medium")
    names = NAMES[stored.method]
    figure = head_grid(
        stored.values,
        title=f"{names.label}, {stored.examples} examples",
        scale=Scale(names.unit),
        hover=hover_texts(stored.values, {}, None),
        flip=stored.flip,
    )
    figure = map_axes.fill(figure, *stored.values.shape)
    right.caption("Stored scores. The page is completed while its libraries are loading.")
    with left, receipt.covered("map", []):
        with st.container(key=f"map-{key}"):
            chart.plain(figure, key)
        from ctsft.receipts.of_runs import receipt_of  # a second, for which the map does not wait

        shown = receipt_of(stored.run)
        if shown:
            st.html(receipt.mark("map", [shown]))
