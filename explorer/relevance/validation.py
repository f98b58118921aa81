"""Are the scores true? The validation run of the view's model and task: started, watched and shown
on Relevance.
"""

from dataclasses import asdict

import streamlit as st

from ctsft.plots import validation
from ctsft.runs import results
from explorer.session import binding, score_runs, start_runs
from explorer.text.glossary import TERMS
from explorer.widgets import chart, cost_estimate, run_progress

COLUMNS = {
    "Spearman": st.column_config.NumberColumn(format="%.2f", help=TERMS["spearman"]),
    "forward passes": st.column_config.NumberColumn(
        format="%.1f", help="What the method cost, in plain forward passes over the same examples."
    ),
    "seconds": st.column_config.NumberColumn(format="%.1f", help="Time on this machine."),
}


STABILITY = {
    "pairs with the same first head": st.column_config.NumberColumn(
        format="%.2f",
        help=(
            "Share of the pairs of discovery sets whose first head is "
            "the same (CT-SFT, arXiv 2601.08146)."
        ),
    ),
    "pools": st.column_config.NumberColumn(help="Discovery sets that were drawn and scored."),
}


def draw():
    now = binding.view()
    st.caption(
        "A score is only worth something if removing the heads it names changes the answer. This"
        " ranks the heads in every way the program knows, holds each ranking against mean ablation"
        " (a head replaced by its mean, which is a causal test), against random circuits of the"
        " same size on unseen rows, and against other discovery pools."
    )
    run = score_runs.find_run("validate", subject=asdict(now.subject))
    if run and run.status().active:
        run_progress.watch(run)
    elif run:
        run_progress.ended(run)
    report = results.result(run) if run else None
    if report and report.get("agreement"):
        show(report)
    if not run or not run.status().active:
        left, right, _ = st.columns([1, 1, 2])
        n_random = left.number_input(
            "Random circuits of each size", 0, 500, 20, help="The grey band; 50 in README's tables."
        )
        pools = right.number_input(
            "Discovery pools",
            0,
            50,
            4,
            help="Pools that are drawn and scored to see how stable the top heads are; not 1.",
        )
        cost_estimate.of_checks(n_random, pools)
        if st.button(
            "Check the scores",
            disabled=pools == 1,
            help="All methods on this model and task; minutes for the bundled model.",
        ):
            start_runs.start_checks(now, n_random, pools)
            st.rerun()


def show(report: dict):
    st.markdown(
        f"**Agreement with mean ablation**, {report['examples']} examples. Spearman: 1 is the same"
        " order, 0 no relation.",
        help=TERMS["spearman"],
    )
    st.dataframe(
        validation.agreement_rows(report),
        hide_index=True,
        column_config=COLUMNS,
        alt="Each way of ranking heads: its agreement with mean ablation, and what it costs.",
    )
    if report.get("curves"):
        st.markdown(
            f"**Faithfulness on {report['rows']} unseen rows**, by the margin of the right label: 1"
            " keeps all that the full model does, 0 no more than a model without heads.",
            help=TERMS["faithfulness"],
        )
        fig = validation.ranking_curves(report)
        chart.show(fig, "ranking_curves", name="faithfulness-of-rankings")
    if report.get("stability"):
        st.markdown("**Stability from pool to pool.**", help=TERMS["stability"])
        rows = validation.stability_rows(report)
        top = {
            name: st.column_config.NumberColumn(format="%.2f", help=TERMS["stability"])
            for name in rows[0]
            if "Jaccard" in name
        }
        st.dataframe(
            rows,
            hide_index=True,
            column_config=STABILITY | top,
            alt="How alike the top heads of different discovery pools are, by method.",
        )
