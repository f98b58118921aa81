"""The Compare page: every tuning run as a row of a table, as a point between the two languages, and
as curves; and the whole exploration as one report.
"""

import streamlit as st

from ctsft import runs
from ctsft.jobs import tuning_table
from ctsft.jobs.requests import request_of, request_problem
from ctsft.plots import run_frontier
from ctsft.runs.damage import remark
from ctsft.runs.explorations import LABEL
from explorer.compare import (
    curves,
    filter_bar,
    filters,
    missing_runs,
    row_highlight,
    run_table,
    table,
    what_was_forgotten,
)
from explorer.compare.points import Points, points
from explorer.compare.summary import sentences, unlike_marks
from explorer.session import binding, errors, next_runs
from explorer.text import outcomes
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal
from explorer.widgets import chart
from explorer.widgets.run_receipts import covered_by

RECORDED_HELP = (
    "These runs come with the program. Your own runs are listed first here; *Filter* leads back to"
    " the recorded ones."
)
CURVES = "overlay"  # the key of their chart
LISTED = 6  # reasons, and runs of each, that are not shown
FRONTIER_HELP = (
    TERMS["frontier"]
    + " The change in each run on the target (up) and on the source (right). A large mark is the"
    " mean over seeds with its 95 % interval, a small mark is one seed. The line joins the marks"
    " that no other mark exceeds in both. Thin lines are shares of a run's change, measured on"
    " validation rows. Runs from a base model (direct) are only in the table: their model did not"
    " know the source. " + TERMS["interval"]
)


def page():
    all_rows = tuning_table.table_rows(recorded=True)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header("Compare", help=TERMS["source change"] + " " + TERMS["target change"])
        note = st.empty()
        with st.popover("Filter", icon=":material/filter_alt:", width="content"):
            rows = filter_bar.draw(all_rows) if all_rows else []
    if not all_rows:
        earlier_runs()
        no_runs()
        return
    if not rows:
        st.info(
            "No run matches these filters. Remove one, or search for something else.",
            icon=":material/filter_alt_off:",
        )
        return
    if all(row.get("origin") == LABEL for row in rows):
        note.badge(LABEL, icon=":material/inventory_2:", color="gray", help=RECORDED_HELP)
    names = dict(zip((row["run"] for row in rows), table.names(rows), strict=True))
    with covered_by("compare", *(row["run"] for row in rows)):
        compare(rows, len(all_rows), names)
    earlier_runs()
    st.page_link("finetune/page.py", label="Back: tune again", icon=":material/arrow_back:")


def compare(rows: list[dict], of: int, names: dict[str, str]):
    """Picture, findings, table, curves and lost texts of the rows that are shown, of `of`."""
    ended = [row for row in rows if row["state"] in outcomes.ENDED]
    ended_points = points(ended, [names[row["run"]] for row in ended])
    columns = st.columns([5, 3], gap="medium")
    picture = columns[0].container()
    with columns[1]:
        summary(rows, ended_points)
        run_what_is_missing(rows)
        if len(rows) < of:
            st.caption(f"{len(rows)} of {of} runs are shown.")
    with st.container(horizontal=True):
        if len({row["seed"] for row in rows}) > 1:
            st.toggle("One line for all seeds", **binding.bind("compare_seeds"), help=TERMS["seed"])
        st.toggle(
            "All columns",
            **binding.bind("compare_columns"),
            help="Also the lowest accuracy on the way, what was measured beside, times and more.",
        )
    view = binding.view()
    entries = filters.entries(rows, view.compare_order, view.compare_seeds)
    selected = run_table.select(entries)
    with picture:  # shows which rows of the table are selected
        frontier(ended_points, [row["run"] for row in selected])
    run_table.actions(rows, selected, names)
    drawn = accuracy_curves(selected, ended or rows[:1], names)
    row_highlight.draw(run_table.table_key(entries), CURVES, entries, drawn)
    what_was_forgotten.draw(selected or ended, names)


def earlier_runs():
    """Names the tuning runs that cannot be compared: an earlier version made them, or their folder
    is damaged.
    """
    of_reason: dict[str, list[str]] = {}
    for run in runs.list_runs("finetune"):
        reason = remark(run)
        if not reason and request_of(run) is None:
            reason = f"unreadable: {request_problem(run)}"
        if reason:
            of_reason.setdefault(reason, []).append(run.id)
    for reason, ids in list(of_reason.items())[:LISTED]:
        names = ", ".join(ids[:LISTED]) + (" and more" if len(ids) > LISTED else "")
        st.caption(f"Not shown, {literal(reason)}: {literal(names)}.")
    if len(of_reason) > LISTED:
        others = sum(map(len, list(of_reason.values())[LISTED:]))
        st.caption(f"Not shown, for other reasons: {others} runs. `ctsft runs` lists them.")


def no_runs():
    st.info(
        "There are no runs to compare yet. Start one on the Fine-tune page; it appears here after"
        " its first evaluation.",
        icon=":material/compare_arrows:",
    )
    st.page_link("finetune/page.py", label="Go to Fine-tune", icon=":material/arrow_back:")


def summary(rows: list[dict], ended_points: Points):
    """The means over seeds, and a sentence for each target where they rank nothing."""
    grounds = []
    for sentence in sentences(rows, ended_points):
        finding, *rests_on = sentence.split("\n")
        st.markdown(finding, help=TERMS["interval"] + " " + TERMS["mcnemar"])
        grounds += rests_on
    with st.expander("What this rests on"):
        for text in grounds:
            st.markdown(text)
        shared_settings(rows)


def run_what_is_missing(rows: list[dict]):
    """The button that completes a comparison."""
    missing = missing_runs.missing_runs(rows)
    if missing and st.button(
        "Run what is missing" + (f" ({len(missing)} runs)" if len(missing) > 1 else ""),
        icon=":material/playlist_add:",
        help=(
            "Every way of tuning that is shown, on every target, number of examples and seed that"
            " another one has. The runs wait for each other."
        ),
    ):
        next_runs.start(missing)
        st.rerun()


def shared_settings(rows: list[dict]):
    main, others = table.shared(rows)
    subject = "All runs" if len(rows) > 1 else "This run"
    st.caption(f"**{subject}:** {literal(main)}.", help=literal(others) or None)


def frontier(of: Points, selected: list[str]):
    """selected: the runs whose marks stand out."""
    chart.show(run_frontier.run_frontier(of.points, selected=selected), "tradeoff", name="frontier")
    st.caption("Up and right is better. Dashed: before tuning.", help=FRONTIER_HELP)
    if of.targets > 1:
        text = f"Each point is a mean over {of.targets} targets."
        if of.left_out:
            text += f" {of.left_out} runs are left out: their seed lacks a target."
        st.caption(text)
    if text := unlike_marks(of):
        st.caption(text)


def accuracy_curves(
    selected: list[dict], rows: list[dict], names: dict[str, str]
) -> dict[str, str]:
    """The curves of the rows; the lines of selected ones come first and stand out. Returns the name
    of the line of each run that is drawn.
    """
    st.subheader("Curves", help=TERMS["curves"])
    ids = [row["run"] for row in selected]
    listed = [*selected, *(row for row in rows if row["run"] not in ids)]
    fig, left_out = curves.overlay(listed, names, ids)
    text = "Mean over seeds, and from the lowest to the highest. Dashed: before tuning."
    if selected:
        text += " The lines of the selected runs stand out."
    else:
        text += " Select rows of the table to bring out their lines."
    if left_out:
        text += (
            f" {left_out} runs left out: more than {curves.MAX_LINES} lines, or another model, task"
            " or start."
        )
    chart.show(fig, CURVES, name="curves")
    st.caption(text)
    return curves.line_names(listed, names)


with errors.sentences():
    page()
