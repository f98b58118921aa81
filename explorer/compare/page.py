"""Compare: every tuning run as a row, as a point between the two languages, and as curves; and the
whole exploration as one page to hand on.
"""

import zlib
from contextlib import suppress

import streamlit as st

from ctsft import runs
from ctsft.jobs import tuning_table
from ctsft.plots import run_frontier
from ctsft.runs import notes
from ctsft.utils.errors import UserError
from explorer.compare import filters as compare_filters
from explorer.compare import report_content, report_sections
from explorer.compare import table as compare_table
from explorer.session import binding, errors, start_runs
from explorer.text import outcomes
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal
from explorer.widgets import chart

# runs whose curves are drawn while none is chosen
SHOWN = 4


NARROWED = {"what": "What moved", "seed": "Seed", "state": "State"}


def scope(every: list[dict]) -> list[dict]:
    """The rows of one experiment, or of none, so that five hundred cells do not hide a single
    run.
    """

    def gather():
        binding.put(
            compare_seeds=binding.view().compare_scope
            not in (compare_filters.SINGLE, compare_filters.ALL)
        )

    words = compare_filters.scopes(every)
    if binding.view().compare_scope not in words:
        binding.put(compare_scope=next(iter(words)))
        gather()
    if len(words) > 1:
        st.selectbox(
            "Runs",
            list(words),
            format_func=words.get,
            **binding.bind("compare_scope", gather),
            help="The cells of an experiment stand apart from runs that were started one by one.",
        )
    return compare_filters.in_scope(every, binding.view().compare_scope)


def filters(rows: list[dict]) -> list[dict]:
    """Of one model, task and target, the newest run's to begin with, since start levels differ
    between them; then what is asked for.
    """
    now, first = (
        binding.view(),
        [key for key in ("model", "task", "target") if len(compare_filters.values(rows, key)) > 1],
    )
    places = iter(st.columns([*([2] * len(first)), 3, 2]))
    for key in first:
        values = [*map(str, compare_filters.values(rows, key)), ""]
        if getattr(now, f"compare_{key}") not in values:
            binding.put(**{f"compare_{key}": values[0]})
        chosen = next(places).selectbox(
            key.capitalize(),
            values,
            format_func=lambda value, key=key: value or f"every {key}",
            **binding.bind(f"compare_{key}"),
            help="Only runs of this one: levels before tuning differ between them.",
        )
        rows = [row for row in rows if chosen in ("", str(row[key]))] or rows
    next(places).text_input(
        "Search",
        **binding.bind("compare_text"),
        placeholder="in names, notes and settings",
        help=(
            "Runs that hold all of these words anywhere: name, note, what moved, languages,"
            " settings, id."
        ),
    )
    next(places).selectbox(
        "Order",
        list(compare_filters.ORDERS),
        format_func=lambda by: compare_filters.ORDERS[by][0],
        **binding.bind("compare_order"),
        help="A click on a column's head sorts by it too.",
    )
    return compare_filters.picked(rows, narrowed(rows), now.compare_text)


def narrowed(rows: list[dict]) -> dict[str, list]:
    """Choices of what moved, seed and state, where there are several."""
    wanted = {}
    several = {
        key: values for key in NARROWED if len(values := compare_filters.values(rows, key)) > 1
    }
    for place, (key, values) in zip(st.columns(3), several.items(), strict=False):
        field = f"compare_{key}"
        binding.put(
            **{field: [value for value in getattr(binding.view(), field) if value in values]}
        )
        names = {
            value: outcomes.moved({"what": value}) if key == "what" else str(value)
            for value in values
        }
        place.multiselect(
            NARROWED[key],
            values,
            format_func=names.get,
            placeholder="any",
            **binding.bind(field),
            help="Shows runs with any of these; none chosen: all.",
        )
        wanted[key] = getattr(binding.view(), field)
    return wanted


def select(entries: list[list[dict]]) -> list[list[dict]]:
    """The table; its selected lines. They stay selected when the order or a filter changes."""
    keep = set(binding.view().compare_chosen)
    key = f"compare-{zlib.crc32(' '.join(row['run'] for entry in entries for row in entry).encode()):08x}"
    before = [i for i, entry in enumerate(entries) if keep & {row["run"] for row in entry}]
    table = compare_table.frame(entries)
    event = st.dataframe(
        table,
        key=key,
        column_config=compare_table.columns(table),
        hide_index=True,
        placeholder="–",
        height="auto",
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": before, "columns": [], "cells": []}},
        alt=(
            "Tuning runs; select rows to draw their curves, to note something of one, or to delete"
            " them."
        ),
    )
    chosen = [entries[i] for i in event.selection.rows if i < len(entries)]
    binding.view().compare_chosen = [row["run"] for entry in chosen for row in entry]
    return chosen


def actions(rows: list[dict], chosen: list[dict], called: dict[str, str]):
    busy = any(row["state"] in start_runs.ACTIVE for row in chosen)
    with st.container(horizontal=True):
        st.download_button(
            "Table (CSV)",
            lambda: tuning_table.table_csv(rows),
            "tuning-runs.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            help="All runs shown, one a row, with every figure.",
        )
        story = report_content.gather(rows, called)
        st.download_button(
            "Report (HTML)",
            lambda: report_sections.write(story),
            "exploration.html",
            "text/html",
            icon=":material/description:",
            on_click="ignore",
            help=(
                "The whole exploration of these runs on one page that opens without a network:"
                " model and task, head map, circuit, faithfulness, runs with curves and frontier,"
                " how far to trust it, the commands that repeat it."
            ),
        )
        if st.button(
            "Name or note",
            disabled=len(chosen) != 1,
            icon=":material/edit_note:",
            help="Select one run by the box at its row's left.",
        ):
            describe(chosen[0]["run"])
        if st.button(
            "Delete selected",
            disabled=not chosen or busy,
            icon=":material/delete:",
            help=(
                "Stop the running ones first."
                if busy
                else "Select rows by the boxes at the table's left."
            ),
        ):
            confirm_delete([row["run"] for row in chosen], [called[row["run"]] for row in chosen])


@st.dialog("Name or note")
def describe(run_id: str):
    """Kept beside the run's request, which stays as it was asked."""
    with errors.sentences(stop=False):
        run = runs.get(run_id)
        kept = notes.note_of(run)
        st.text_input(
            "Name",
            kept.name or run.request.name,
            max_chars=notes.NAME,
            key="note_name",
            help="Shown in tables, charts and reports.",
        )
        st.text_area(
            "Note",
            kept.note,
            max_chars=notes.NOTE,
            key="note_text",
            help="What you want to remember of this run. Shown as text.",
        )
        if st.button("Save", type="primary", on_click=note, args=(run_id,)):
            st.rerun()


def note(run_id: str):
    """What was typed; a run that is gone meanwhile is told by the table."""
    with suppress(UserError):
        run, name = runs.get(run_id), st.session_state.note_name
        notes.keep_note(run, "" if name == run.request.name else name, st.session_state.note_text)


@st.dialog("Delete these runs?")
def confirm_delete(ids: list[str], called: list[str]):
    some = ", ".join(map(outcomes.said, called[:8])) + (
        f" and {len(called) - 8} more" if len(called) > 8 else ""
    )
    st.write(f"{some}: results, curves and checkpoints are deleted from this machine for good.")
    if st.button("Delete for good", type="primary", on_click=delete, args=(ids,)):
        st.rerun()


def delete(ids: list[str]):
    """One that was resumed meanwhile, or is gone already, is left as it is."""
    for run_id in ids:
        with suppress(UserError):
            runs.delete(runs.get(run_id))


def frontier(found: compare_table.Points):
    st.subheader("Frontier", help=TERMS["frontier"] + " " + TERMS["interval"])
    st.caption(
        "What each run gained on the target (up) against what it kept of the source (right);"
        " dashed: before tuning. A large mark is the mean over seeds with its 95 % interval, a"
        " small one a seed; the line joins what no other one beats at both. Runs from a base model"
        " (direct) are in the table only: they had no source to keep."
    )
    if found.targets > 1:
        st.caption(
            f"Each point is a mean over {found.targets} targets."
            + (
                f" {found.left_out} runs are left out: their seed lacks a target."
                if found.left_out
                else ""
            )
        )
    chart.show(run_frontier.tradeoff(found.points), "tradeoff", name="frontier")


def overlaid(drawn: list[dict], called: dict[str, str], of: str):
    st.subheader("Curves", help=TERMS["curves"])
    fig, left_out = compare_table.overlay(drawn, [called[row["run"]] for row in drawn])
    st.caption(
        f"Accuracy while tuning, {of}."
        + (
            f" {left_out} left out: more than {compare_table.DRAWN} curves, or another model, task or"
            " start."
            if left_out
            else ""
        )
    )
    chart.show(fig, "overlay", name="curves")


def page():
    st.header("Compare", help=TERMS["kept"] + " " + TERMS["gained"])
    st.write(
        "Every tuning run, and what it did to both languages. In the chart up and right is better;"
        " a circuit has shown something only if runs with other heads, or with everything moving,"
        " do worse by more than noise."
    )
    every = tuning_table.compare()
    if not every:
        st.info(
            "There are no runs to compare yet. Start one on the Fine-tune page; it appears here"
            " after its first evaluation.",
            icon=":material/compare_arrows:",
        )
        st.page_link("finetune/page.py", label="Go to Fine-tune", icon=":material/arrow_back:")
        return
    rows = filters(scope(every))
    if not rows:
        st.info(
            "No run fits these filters; take one away, or search for something else.",
            icon=":material/filter_alt_off:",
        )
        return
    called = dict(zip((row["run"] for row in rows), compare_table.called(rows), strict=True))
    ended = [row for row in rows if row["state"] in outcomes.ENDED]
    found = compare_table.points(ended, [called[row["run"]] for row in ended])
    seeds = compare_table.reading(run_frontier.grouped(found.points))
    for sentence in [seeds] if seeds else outcomes.summary(rows, compare_table.measured(ended)):
        st.markdown(sentence, help=TERMS["interval" if seeds else "noise"])
    if len(rows) < len(every):
        st.caption(f"{len(rows)} of {len(every)} runs are shown.")
    if len({row["seed"] for row in rows}) > 1:
        st.toggle("One line for all seeds", **binding.bind("compare_seeds"), help=TERMS["seed"])
    same, rest = compare_table.shared(rows)
    st.caption(
        f"**{'All' if len(rows) > 1 else 'It'}:** {literal(same)}.", help=literal(rest) or None
    )
    chosen = [
        row
        for entry in select(
            compare_filters.entries(
                rows, binding.view().compare_order, binding.view().compare_seeds
            )
        )
        for row in entry
    ]
    actions(rows, chosen, called)
    frontier(found)
    drawn = chosen or ended[:SHOWN] or rows[:1]
    overlaid(
        drawn,
        called,
        (
            "of the selected runs"
            if chosen
            else f"of the newest finished runs (at most {SHOWN}); select rows for others"
        ),
    )
    st.page_link("finetune/page.py", label="Back: tune once more", icon=":material/arrow_back:")


with errors.sentences():
    page()
