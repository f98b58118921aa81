"""The controls that choose which tuning runs the Compare page shows."""

from collections.abc import Iterator

import streamlit as st

from explorer.compare import filters
from explorer.session import binding
from explorer.text.run_names import trained_text

SELECTABLE = {"what": "Trained", "seed": "Seed", "state": "State"}


def draw(rows: list[dict]) -> list[dict]:
    """The controls; returns the rows that match them."""
    rows = scope(rows)
    fields = [key for key in filters.SEPARATE if len(filters.distinct(rows, key)) > 1]
    places = iter(st.columns([*([2] * len(fields)), 3, 2]))
    for key in fields:
        rows = separate(rows, key, next(places))
    search_and_order(places)
    return filters.matching(rows, selections(rows), binding.view().compare_text)


def scope(rows: list[dict]) -> list[dict]:
    """The rows of one experiment, or of none, so that hundreds of trials do not hide a single
    run.
    """

    def group_seeds():
        in_experiment = binding.view().compare_scope not in (filters.SINGLE, filters.ALL)
        binding.put(compare_seeds=in_experiment)

    labels = filters.scopes(rows)
    if binding.view().compare_scope not in labels:
        binding.put(compare_scope=next(iter(labels)))
        group_seeds()
    if len(labels) > 1:
        st.selectbox(
            "Runs",
            list(labels),
            format_func=labels.get,
            **binding.bind("compare_scope", group_seeds),
            help="The trials of an experiment are listed apart from runs that were started alone.",
        )
    return filters.in_scope(rows, binding.view().compare_scope)


def separate(rows: list[dict], key: str, place) -> list[dict]:
    """The rows of one model, task or target, at first the newest run's; all rows on request."""
    field = f"compare_{key}"
    choices = [*map(str, filters.distinct(rows, key)), ""]
    if getattr(binding.view(), field) not in choices:
        binding.put(**{field: choices[0]})
    chosen = place.selectbox(
        key.capitalize(),
        choices,
        format_func=lambda value: value or f"every {key}",
        **binding.bind(field),
        help=f"Show only runs of this {key}: the accuracies before tuning differ between them.",
    )
    return [row for row in rows if chosen in ("", str(row[key]))] or rows


def search_and_order(places: Iterator):
    next(places).text_input(
        "Search",
        **binding.bind("compare_text"),
        placeholder="in names, notes and settings",
        help=(
            "Shows the runs that contain all of these words: in the name, the note, what was"
            " trained, the languages, the settings or the id."
        ),
    )
    next(places).selectbox(
        "Order",
        list(filters.ORDERS),
        format_func=lambda order: filters.ORDERS[order][0],
        **binding.bind("compare_order"),
        help="A click on the head of a column sorts by that column too.",
    )


def selections(rows: list[dict]) -> dict[str, list]:
    """The selected recipes, seeds and states, where the rows differ in them."""
    choices = {key: filters.distinct(rows, key) for key in SELECTABLE}
    differing = {key: values for key, values in choices.items() if len(values) > 1}
    chosen = {}
    for place, (key, values) in zip(st.columns(3), differing.items(), strict=False):
        field = f"compare_{key}"
        selected = getattr(binding.view(), field)
        binding.put(**{field: [value for value in selected if value in values]})
        place.multiselect(
            SELECTABLE[key],
            values,
            format_func=lambda value, key=key: selection_label(key, value),
            placeholder="any",
            **binding.bind(field),
            help="Shows the runs with any of these; all runs if nothing is selected.",
        )
        chosen[key] = getattr(binding.view(), field)
    return chosen


def selection_label(key: str, value) -> str:
    return trained_text({"what": value}) if key == "what" else str(value)
