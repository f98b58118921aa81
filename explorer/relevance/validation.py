"""Validation of the scores on Relevance: its run for the current model and task, and its report."""

import streamlit as st

from ctsft.circuit import circuit_areas
from ctsft.plots import validation
from ctsft.runs import results
from explorer.session import binding, score_runs, start_runs
from explorer.text.glossary import TERMS
from explorer.widgets import chart, cost_estimate, recorded_notice, run_progress
from explorer.widgets.run_receipts import covered_by

# widths in pixels: up to the intervals all fit into half of a window of 1280
INTERVAL = "In brackets the bootstrap interval over rows."
COLUMNS = {
    "method": st.column_config.TextColumn(width=172, help="How the heads are ranked."),
    "Spearman": st.column_config.NumberColumn(format="%.2f", width=70, help=TERMS["spearman"]),
    "CPR": st.column_config.TextColumn(width=107, help=f"{TERMS['cpr']} {INTERVAL}"),
    "CMD": st.column_config.TextColumn(width=107, help=f"{TERMS['cmd']} {INTERVAL}"),
    "forward passes": st.column_config.NumberColumn(
        format="%.1f",
        help="The cost of the method, in plain forward passes over the same examples.",
    ),
    "seconds": st.column_config.NumberColumn(format="%.1f", help="Time on this machine."),
}

STABILITY_COLUMNS = {
    "pairs with the same first head": st.column_config.NumberColumn(
        format="%.2f",
        help=(
            "Share of the pairs of discovery sets that have the same first head"
            " (CT-SFT, arXiv 2601.08146)."
        ),
    ),
    "pools": st.column_config.NumberColumn(help="Discovery sets that were drawn and scored."),
}


WHAT = (
    "Scores are useful only if removing high-scoring heads changes the answer. This check ranks the"
    " heads with every method, and compares the rankings with mean ablation (a causal test that"
    " replaces a head by its mean), with random circuits of the same size on unseen rows, and with"
    " other discovery sets."
)

SCALE = (
    "Here by the margin of the correct label: 1 is the full model, 0 is the model without any of"
    " its heads."
)


def draw():
    run = score_runs.find_run(
        "validate",
        lambda request: request.subject == binding.view().subject and not request.only_templates,
    )
    if run and run.status().active:
        run_progress.watch(run)
    elif run:
        run_progress.ended(run)
    report = results.result(run) if run else None
    if report and report.get("agreement"):
        with covered_by("validation", run):
            show(report)
    else:
        st.caption(WHAT)
    if not run or not run.status().active:
        start_form()


def start_form():
    if recorded_notice.draw():
        return
    left, right, _ = st.columns([1, 1, 2])
    n_random = left.number_input(
        "Random circuits of each size",
        0,
        500,
        20,
        help="They make the grey band of the chart. The tables in the documentation use 50.",
    )
    pools = right.number_input(
        "Discovery sets",
        0,
        50,
        4,
        help=(
            "Each is drawn and scored, to see how stable the top heads are. 0 skips this; 1 is not"
            " enough to compare."
        ),
    )
    cost_estimate.of_checks(n_random, pools)
    if st.button(
        "Validate the scores",
        disabled=pools == 1,
        help="Runs all methods on this model and task: minutes for the bundled model.",
    ):
        start_runs.start_checks(binding.view(), n_random, pools)
        st.rerun()


def show(report: dict):
    trusted(report)
    st.markdown(
        f"**Agreement with mean ablation**, {report['examples']} examples.",
        help=f"{WHAT} Spearman: {TERMS['spearman']}",
    )
    st.dataframe(
        validation.agreement_rows(report),
        hide_index=True,
        column_config=COLUMNS,
        alt="Each ranking method: its agreement with mean ablation, its CPR and CMD, and its cost.",
    )
    area_notes(report)
    if report.get("curves"):
        st.markdown(
            f"**Faithfulness on {report['rows']} unseen rows.**",
            help=f"{TERMS['faithfulness']} {SCALE}",
        )
        figure = validation.ranking_curves(report)
        chart.show(figure, "ranking_curves", name="faithfulness-of-rankings")
    if report.get("stability"):
        st.markdown("**Stability across discovery sets.**", help=TERMS["stability"])
        rows = validation.stability_rows(report)
        jaccard_columns = {
            name: st.column_config.NumberColumn(format="%.2f", help=TERMS["stability"])
            for name in rows[0]
            if "Jaccard" in name
        }
        st.dataframe(
            rows,
            hide_index=True,
            column_config=STABILITY_COLUMNS | jaccard_columns,
            alt="How similar the top heads of different discovery sets are, for each method.",
        )


def trusted(report: dict):
    """Which ranking to trust by CPR and CMD, in a sentence computed from them."""
    areas, label = report.get("areas") or {}, validation.ranking_label
    sentence = circuit_areas.ranking_to_trust(areas, label)
    if sentence:
        chance = circuit_areas.leads_by_chance(areas, label)
        limited = " Some leads are within chance." if chance else ""
        st.markdown(f"**{sentence}**{limited}", help=chance or None)


def area_notes(report: dict):
    """On what CPR and CMD were measured, and those of random circuits."""
    areas = report.get("areas")
    if not areas:
        return
    text = f"CPR and CMD: {report['rows']} unseen rows, {areas['level']:.0%} intervals."
    chance = areas["random"]
    if chance and None not in chance.values():
        text += f" Random circuits: CPR {chance['cpr']:.2f}, CMD {chance['cmd']:.2f}."
    st.caption(text, help="CPR: higher is better. CMD: lower is better. Bootstrap over rows.")
