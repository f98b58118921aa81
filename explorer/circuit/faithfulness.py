"""Is the circuit enough? The faithfulness run of the current scores on Circuit, and its curve."""

import streamlit as st

from ctsft import runs
from ctsft.plots import faithfulness
from ctsft.utils.errors import UserError
from explorer.circuit.page_circuit import PageCircuit
from explorer.session import binding, errors, score_runs, start_runs
from explorer.text.glossary import TERMS
from explorer.widgets import chart, recorded_notice, run_progress
from explorer.widgets.run_receipts import covered_by

SECONDS = 1.5  # between two updates of the curve


def draw(shown: PageCircuit):
    st.markdown(
        "Every head outside a circuit outputs its mean instead of its own value. Faithfulness 1"
        " means that the circuit does all that the full model does, 0 that it does no more than a"
        " model without heads. The ranking is informative where its line lies above the band of"
        " random circuits.",
        help=TERMS["faithfulness"],
    )
    if shown.is_preview:
        st.info(
            "Faithfulness is measured with the final scores. It can start when they are ready.",
            icon=":material/hourglass_top:",
        )
        return
    view, scored = binding.view(), score_runs.score_run(("done",))
    run = score_runs.curve_of(scored)
    active = run is not None and run.status().active
    if recorded_notice.draw():
        if run:
            curve(run.id, len(shown.circuit), len(shown.model.heads))
        return
    with st.expander("Settings"):
        st.number_input(
            "Random circuits of each size",
            1,
            200,
            **binding.bind("n_random"),
            help="More circuits give a more precise band and take longer.",
        )
    if st.button("Measure faithfulness against size", type="primary", disabled=active):
        start_runs.start_curve(view, scored, view.n_random)
        st.rerun()
    if run:
        run_progress.watch(run)
        live_curve = errors.fragment(curve, run_every=SECONDS if active else None)
        with covered_by("faithfulness", run):
            live_curve(run.id, len(shown.circuit), len(shown.model.heads))


def curve(run_id: str, size: int, n_heads: int):
    """`size`: heads of the current circuit, marked on the curve."""
    try:
        rows = faithfulness.curve_rows(runs.get(run_id).events())
    except UserError:  # the run was discarded
        return
    if not rows:
        return
    st.segmented_control(
        "By",
        list(faithfulness.MEASURES),
        format_func=faithfulness.MEASURES.get,
        required=True,
        **binding.bind("measure"),
        help=TERMS["measure"],
    )
    measure = binding.view().measure
    if not faithfulness.is_defined(rows, measure):
        st.info(faithfulness.UNDEFINED, icon=":material/info:")
        return
    chart.show(faithfulness.size_curve(rows, measure, size, n_heads), "faithfulness")
    st.caption(faithfulness.curve_sentence(rows, measure, size, n_heads))
