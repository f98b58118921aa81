"""The table of tuning runs on the Compare page: its selection, downloads, notes and deletion."""

import zlib
from contextlib import suppress

import streamlit as st

from ctsft import runs
from ctsft.jobs import tuning_table
from ctsft.runs import notes
from ctsft.utils.errors import UserError
from explorer.compare import table
from explorer.compare.filters import Entry
from explorer.session import binding, errors, own_runs, start_runs, warm
from explorer.text.glossary import TERMS
from explorer.text.run_names import display_name

LISTED_NAMES = 8  # in the question before runs are deleted


def select(entries: list[Entry]) -> list[dict]:
    """The table; returns the rows of its selected lines, which stay selected when the order or a
    filter changes.
    """
    selected = set(binding.view().compare_chosen)
    lines = [i for i, entry in enumerate(entries) if selected & {row["run"] for row in entry}]
    frame = table.frame(entries)
    event = st.dataframe(
        frame,
        key=table_key(entries),
        column_config=table.columns(frame),
        column_order=None if binding.view().compare_columns else table.first_columns(frame),
        hide_index=True,
        placeholder="–",
        height="auto",
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": lines, "columns": [], "cells": []}},
        alt="Tuning runs. Select rows to draw their curves, to add a note, or to delete them.",
    )
    rows = [row for i in event.selection.rows if i < len(entries) for row in entries[i]]
    binding.view().compare_chosen = [row["run"] for row in rows]
    return rows


def table_key(entries: list[Entry]) -> str:
    """Another key for other lines: the widget's selection is by position."""
    ids = " ".join(row["run"] for entry in entries for row in entry)
    return f"compare-{zlib.crc32(ids.encode()):08x}"


def actions(rows: list[dict], selected: list[dict], names: dict[str, str]):
    """The downloads of all rows, and what can be done with the selected ones."""
    foreign = [row for row in selected if not may_change(row)]
    read_only = any(row.get("origin") for row in selected)
    why_not = own_runs.READ_ONLY if read_only else own_runs.FOREIGN
    with st.container(horizontal=True):
        downloads(rows, names)
        if st.button(
            "Name or note",
            disabled=len(selected) != 1 or bool(foreign),
            icon=":material/edit_note:",
            help=why_not if foreign else "Select one run with the box to the left of its row.",
        ):
            describe(selected[0]["run"])
        active = any(row["state"] in start_runs.ACTIVE for row in selected)
        if st.button(
            "Delete selected",
            disabled=not selected or active or bool(foreign),
            icon=":material/delete:",
            help=own_runs.READ_ONLY if read_only else delete_help(active, bool(foreign)),
        ):
            confirm_delete({row["run"]: names[row["run"]] for row in selected})


def may_change(row: dict) -> bool:
    return not row.get("origin") and own_runs.is_own(runs.Run(runs.run_folder(row["run"])))


def delete_help(active: bool, foreign: bool) -> str:
    if foreign:
        return (
            "Another visitor of this server started some of these runs; only they can delete them."
        )
    if active:
        return "Stop the running ones first."
    return "Select runs with the boxes to the left of the table."


def downloads(rows: list[dict], names: dict[str, str]):
    st.download_button(
        "Table (CSV)",
        lambda: tuning_table.table_csv(rows),
        "tuning-runs.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        help="All runs that are shown, one in each row, with all figures.",
    )
    report_button(rows, names)


def report_button(rows: list[dict], names: dict[str, str]):
    """A report needs torch, and waits where the page is drawn before that is imported."""
    shown = {"label": "Report (HTML)", "icon": ":material/description:"}
    if not warm.is_ready():
        st.button(**shown, disabled=True, help="Available once the libraries are loaded: seconds.")
        return
    from explorer.compare import report, report_content

    exploration = report_content.gather(rows, names)
    st.download_button(
        **shown,
        data=lambda: report.write(exploration),
        file_name="exploration.html",
        mime="text/html",
        on_click="ignore",
        help=(
            "The whole exploration of these runs on one page that opens without a network"
            " connection: model and task, head map, circuit, faithfulness, runs with curves and"
            " frontier, how reliable the results are, and the commands to repeat them. Each figure"
            " carries its receipt. " + TERMS["receipt"]
        ),
    )


@st.dialog("Name or note")
def describe(run_id: str):
    """The name and the note are stored beside the run's request, which does not change."""
    with errors.sentences(stop=False):
        run = runs.get(run_id)
        stored = notes.read_note(run)
        st.text_input(
            "Name",
            stored.name or run.request.name,
            max_chars=notes.LONGEST_NAME,
            key="note_name",
            help="Shown in tables, charts and reports.",
        )
        st.text_area(
            "Note",
            stored.note,
            max_chars=notes.LONGEST_NOTE,
            key="note_text",
            help="What you want to remember about this run. Shown as plain text.",
        )
        if st.button("Save", type="primary", on_click=save_note, args=(run_id,)):
            st.rerun()


def save_note(run_id: str):
    """A run that was deleted meanwhile is simply missing from the table."""
    with suppress(UserError):
        run, name = runs.get(run_id), st.session_state.note_name
        own_runs.save_note(
            run, "" if name == run.request.name else name, st.session_state.note_text
        )


@st.dialog("Delete these runs?")
def confirm_delete(names: dict[str, str]):
    """`names`: of the runs, by their ids."""
    listed = ", ".join(map(display_name, list(names.values())[:LISTED_NAMES]))
    more = f" and {len(names) - LISTED_NAMES} more" if len(names) > LISTED_NAMES else ""
    st.write(
        f"{listed}{more}: results, curves and checkpoints will be deleted permanently from this"
        " machine."
    )
    if st.button("Delete permanently", type="primary", on_click=delete, args=(list(names),)):
        st.rerun()


def delete(ids: list[str]):
    """Runs that were resumed meanwhile, or are deleted already, are left as they are."""
    for run_id in ids:
        with suppress(UserError):
            own_runs.delete(runs.get(run_id))
