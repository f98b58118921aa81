"""How much of a run's change to apply: a slider over the shares that the finished run measured on
validation rows, and a delta of the chosen share.
"""

import streamlit as st

from ctsft import runs
from ctsft.jobs.measured_change import share_file
from ctsft.plots.share_chart import share_curves
from ctsft.runs import results
from ctsft.tuning.delta import scale_delta
from explorer.session import errors
from explorer.text.glossary import TERMS
from explorer.text.run_names import display_name
from explorer.widgets import chart


def draw(run: runs.Run):
    """For a finished run with measured shares; shows nothing for others."""
    done = results.result(run)
    if not done.get("shares"):
        return
    st.subheader("How much of the change to apply", help=TERMS["share"])
    figure = share_curves(done["shares"], done["source"], done["target"])
    chart.show(figure, f"shares-{run.id}", name="shares")
    # alone, so that moving the slider draws nothing else again
    errors.fragment(choose)(run.id)


def choose(run_id: str):
    """The slider, the accuracies of its share, and the button that stores it."""
    run = runs.get(run_id)
    done = results.result(run)
    points = {point["share"]: point["accuracy"] for point in done["shares"]["points"]}
    share = st.select_slider(
        "Share of the change",
        list(points),
        value=1.0,
        key=f"share_{run_id}",
        format_func="{:.1f}".format,
        help="0: the model before tuning, 1: the tuned model.",
    )
    accuracy, whole = points[share], points[1.0]
    columns = st.columns(len(accuracy))
    for column, (language, value) in zip(columns, accuracy.items(), strict=True):
        column.metric(
            display_name(language), f"{value:.3f}", f"{value - whole[language]:+.3f} against all"
        )
    rows = done["shares"]["rows"]
    counts = ", ".join(f"{count} {display_name(language)}" for language, count in rows.items())
    st.caption(
        f"Measured on {done['shares']['split']} rows ({counts}): choose by these, and use test rows"
        " only for the final figure."
    )
    keep(run, share)


def keep(run: runs.Run, share: float):
    """The button, or the file that it wrote."""
    path = share_file(run, share)
    if path.is_file():
        st.success("The delta of this share is stored:", icon=":material/check:")
        st.code(str(path), language=None)
    elif share < 1 and st.button(
        "Keep this share",
        icon=":material/save:",
        key=f"keep_{run.id}",
        help="Writes a delta of its own, which applies this share of the change.",
    ):
        scale_delta(run.file("delta.safetensors"), share, to=path)
        st.rerun()
