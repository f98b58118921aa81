"""Compare: every tuning run as a row, as a point between the two languages, and as curves."""
from contextlib import suppress

import streamlit as st

from ctsft import results, runs
from ctsft.errors import UserError
from explorer import comparing, curves, export, jobs, outcomes, state

TABLE = "compare_table"
SHOWN = 4                                              # runs whose curves are drawn while none is chosen


def filters(rows: list[dict]) -> list[dict]:
    """The rows of the chosen model, task and target; the newest run's to begin with, since start levels differ between them."""
    several = [key for key in ("model", "task", "target") if len({row[key] for row in rows}) > 1]
    for place, key in zip(st.columns(3), several, strict=False):
        values = [*dict.fromkeys(str(row[key]) for row in rows), ""]
        if st.session_state.get(f"compare_{key}") not in values:
            st.session_state.pop(f"compare_{key}", None)
        chosen = place.selectbox(key.capitalize(), values, format_func=lambda value, key=key: value or f"every {key}", key=f"compare_{key}")
        rows = [row for row in rows if chosen in ("", str(row[key]))] or rows
    return rows


def select(rows: list[dict]) -> list[int]:
    """The table; the numbers of its selected rows."""
    event = st.dataframe(comparing.frame(rows), key=TABLE, column_config=comparing.COLUMNS, hide_index=True, placeholder="–",
                         on_select="rerun", selection_mode="multi-row",
                         alt="Tuning runs, newest first; select rows to draw their curves or to delete them.")
    return [i for i in event.selection.rows if i < len(rows)]


def actions(rows: list[dict], chosen: list[int], called: list[str], figures: dict):
    busy = any(rows[i]["state"] in jobs.ACTIVE for i in chosen)
    with st.container(horizontal=True):
        st.download_button("Table (CSV)", results.table_csv(rows), "tuning-runs.csv", "text/csv", icon=":material/download:", on_click="ignore")
        st.download_button("Charts (HTML)", lambda: comparing.page_of(figures), "tuning-runs.html", "text/html", icon=":material/download:",
                           on_click="ignore", help="Both charts below on one page that opens without a network.")
        if st.button("Delete selected", disabled=not chosen or busy, icon=":material/delete:",
                     help="Stop the running ones first." if busy else "Select rows by the boxes at the table's left."):
            confirm_delete([rows[i]["run"] for i in chosen], [called[i] for i in chosen])


@st.dialog("Delete these runs?")
def confirm_delete(ids: list[str], called: list[str]):
    st.write(f"{', '.join(map(outcomes.said, called))}: results, curves and checkpoints are deleted from this machine for good.")
    if st.button("Delete for good", type="primary", on_click=delete, args=(ids,)):
        st.rerun()


def delete(ids: list[str]):
    """One that was resumed meanwhile, or is gone already, is left as it is."""
    for run_id in ids:
        with suppress(UserError):
            runs.delete(runs.get(run_id))


def charts(scatter, overlaid, note: str):
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Trade-off")
        st.caption("One point a finished run; up: better on the target, right: more of the source kept. Dashed: before tuning.")
        export.show(scatter, "tradeoff")
    with right:
        st.subheader("Curves")
        st.caption(note)
        export.show(overlaid, "overlay")


def page():
    st.header("Compare")
    st.write("Every tuning run, and what it did to both languages. In the chart up and right is better; a circuit has shown something only if "
             "runs with other heads, or with everything moving, do worse by more than noise.")
    every = results.compare()
    if not every:
        st.info("There are no runs to compare yet. Start one on the Fine-tune page; it appears here after its first evaluation.",
                icon=":material/compare_arrows:")
        st.page_link("screens/finetune.py", label="Go to Fine-tune", icon=":material/arrow_back:")
        return
    rows = filters(every)
    called = outcomes.names(rows)
    ended = [i for i, row in enumerate(rows) if row["state"] in outcomes.ENDED]
    counts = {language: count for i in ended for language, count in outcomes.measured_on(runs.get(rows[i]["run"])).items()}
    for sentence in outcomes.summary(rows, counts):
        st.markdown(sentence)
    if len(rows) < len(every):
        st.caption(f"{len(rows)} of {len(every)} runs are shown.")
    chosen = select(rows)
    drawn = chosen or ended[:SHOWN] or [0]
    scatter = curves.tradeoff_scatter([rows[i] | {"name": called[i]} for i in ended])
    overlaid, left_out = comparing.overlay([rows[i] for i in drawn], [called[i] for i in drawn])
    actions(rows, chosen, called, {"Trade-off": scatter, "Curves": overlaid})
    note = "Of the selected runs." if chosen else f"Of the newest finished runs (at most {SHOWN}); select rows of the table for others."
    charts(scatter, overlaid, note + (f" {left_out} left out: another model, task or start." if left_out else ""))
    st.page_link("screens/finetune.py", label="Back: tune once more", icon=":material/arrow_back:")


with state.sentences():
    page()
