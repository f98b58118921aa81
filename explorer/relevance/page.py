"""Relevance: how much every head carries the task, as the head map with the selected head's
inspector beside it.
"""

import streamlit as st

from ctsft import runs
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.data.task import Task
from ctsft.model.model import Model
from ctsft.plots import head_grid, score_charts, score_maps
from explorer.relevance import advice, comparison, head_on_text, validation
from explorer.session import binding, errors, inputs, score_runs, start_runs, view
from explorer.session import circuit as session_circuit
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal
from explorer.widgets import chart, cost_estimate, head_inspector, run_progress, share_link

METHODS = {
    "cdt": "CD-T (decomposition)",
    "atp": "Attribution patching (fast estimate)",
    "ig": "Integrated gradients (closer estimate)",
    "ablation": "Mean ablation (causal)",
}

RULES = {"paper": "The paper's", "symmetric": "Shared evenly"}
ATTENTION = {"softmax": "Decomposed", "frozen": "Kept as it is"}
POSITIONS = {"all": "Every token", "readout": "Only the last token"}
PANELS = share_link.PANELS["panel"]
COMPARISONS = ("Two methods", "Side by side", "Are they true?")
MAP = "relevance_map"


def page():
    share_link.header("Relevance", TERMS["relevance"])
    st.write(
        "How much each attention head speaks for the right label (purple) or against it (green), on"
        " average over examples that the model gets right. Click a head to look into it; then"
        " choose the circuit from the heads that count."
    )
    model, task = inputs.model(), inputs.task()
    with st.expander("Settings of the scores"):
        settings(len(task.labels))
    begin()
    scores, kind = score_runs.scores()
    if scores is not None:
        show(scores, kind, model, task)
    st.page_link(
        "circuit/page.py", label="Next: choose the circuit", icon=":material/arrow_forward:"
    )


def settings(n_labels: int):
    now = binding.view()
    a, b, c = st.columns(3)
    a.selectbox(
        "Method",
        list(METHODS),
        format_func=METHODS.get,
        **binding.bind("method"),
        help=TERMS["method"],
    )
    b.selectbox(
        "Attention patterns",
        list(ATTENTION),
        format_func=ATTENTION.get,
        **binding.bind("attention"),
        disabled=now.method != "cdt",
        help=TERMS["patterns"],
    )
    c.selectbox(
        "Split a head at",
        list(POSITIONS),
        format_func=POSITIONS.get,
        **binding.bind("positions"),
        help=TERMS["positions"],
    )
    c.selectbox(
        "Cross terms",
        list(RULES),
        format_func=RULES.get,
        **binding.bind("rules"),
        disabled=now.method != "cdt",
        help=TERMS["cross terms"],
    )
    a.number_input(
        "Examples",
        n_labels,
        2000,
        **binding.bind("size"),
        help="Size of the discovery set. " + TERMS["discovery set"],
    )
    b.number_input(
        "Seed",
        0,
        10**6,
        **binding.bind("pool_seed"),
        help="Draws the discovery set. " + TERMS["seed"],
    )
    if now.scoring != view.View().scoring:
        c.button("Back to the defaults", on_click=defaults)


def defaults():
    fresh = view.View()
    binding.put(
        **{
            name: getattr(fresh, name)
            for name in ("method", "attention", "positions", "rules", "size", "pool_seed")
        }
    )


def begin():
    """What stands between the settings and their scores: a run under way, one that failed, or none
    yet.
    """
    first = not st.session_state.get("relevance_visited")
    st.session_state.relevance_visited = True
    active, ready = score_runs.score_run(start_runs.ACTIVE), score_runs.scores()[0]
    if first and binding.view().model == "demo" and score_runs.score_run() is None:
        active = start_runs.start_score(binding.view())
        st.session_state.started_itself = active.id
    if active:
        if st.session_state.get("started_itself") == active.id:
            st.caption(
                "The bundled model is small, so its heads are being scored without being asked."
            )
        run_progress.watch(active, keepable=False)
        if ready is None:
            errors.fragment(await_preview, run_every=1.0)(active.id)
        return
    if ready is not None:
        return
    last = score_runs.score_run()
    if last and last.status().state == "done":
        st.warning(
            "The scores of these settings were removed from their run folder; score the heads"
            " again.",
            icon=":material/warning:",
        )
    elif last:
        run_progress.ended(last)
        st.page_link("setup/page.py", label="Back to the setup", icon=":material/arrow_back:")
    elif score_runs.find_run("score", ("done",)):
        st.info(
            "Out of date: nothing is scored with this model, task, source language and these"
            " settings yet.",
            icon=":material/update:",
        )
    else:
        st.info("No head is scored yet.", icon=":material/grid_on:")
    cost_estimate.draw(binding.view().scoring, "Scoring")
    if st.button("Score heads", type="primary"):
        start_runs.ensure_score(binding.view())
        st.rerun()


def await_preview(run_id: str):
    """Reruns the page when the first look at the scores is there."""
    if (runs.home() / "runs" / run_id / "preview.safetensors").is_file():
        st.rerun()


def show(scores: Scores, kind: str, model: Model, task: Task):
    now = binding.view()
    if kind == "preview":
        st.info(
            "**Preview** by attribution patching, a first-order estimate; the scores asked for"
            " replace it when they are done.",
            icon=":material/hourglass:",
        )
    session_circuit.look_at_first(scores, model.heads)
    circuit, run = (
        session_circuit.circuit(scores),
        score_runs.score_run(("done",)) or score_runs.score_run(start_runs.ACTIVE),
    )
    means = score_runs.means_of(run)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        title = (
            f"Preview: attribution patching, {len(scores.examples)} examples"
            if kind == "preview"
            else ""
        )
        fig = score_maps.score_map(scores, circuit, model, now.head, now.flip, title)
        chart.show(fig, MAP, width="content", on_select=pick, selection_mode="points")
        st.toggle("Layer 0 at the bottom", **binding.bind("flip"))
        for note in scores.notes:
            st.caption(note)
        exports(scores, run, kind)
        panel(scores, means, circuit, run)
    with right:
        head_inspector.draw(scores, means, model, circuit, choosing=True)
    head_on_text.draw(scores, run, model)
    if kind == "scores":
        advice.draw(scores, circuit, task)
    st.subheader("Held against other scores", help=TERMS["against"])
    compare(scores, circuit, run, task)


def pick():
    """A click selects the head it hits."""
    points = st.session_state[MAP]["selection"]["points"]
    for head in head_grid.toggle(points[-1:], ()):
        binding.put(head=head)


def exports(scores: Scores, run: runs.Run, kind: str):
    name = f"{'preview' if kind == 'preview' else scores.method}-{run.id}"
    with st.container(horizontal=True):
        st.download_button(
            "Scores (CSV)",
            scores.csv,
            f"{name}.csv",
            "text/csv",
            on_click="ignore",
            icon=":material/download:",
        )
        st.download_button(
            "Scores (safetensors)",
            run.file(f"{kind}.safetensors").read_bytes,
            f"{name}.safetensors",
            on_click="ignore",
            icon=":material/download:",
            help="Scores of every example too, with ids and labels; ctsft.Scores.load reads it.",
        )


def panel(scores: Scores, means, circuit: Circuit, run: runs.Run):
    now, drawn = binding.view(), score_maps.marks(circuit, binding.view().head)
    st.segmented_control(
        "More about all heads",
        PANELS,
        required=True,
        wrap=True,
        **binding.bind("panel"),
        help=TERMS["panels"],
    )
    if now.panel == "By label":
        st.caption(
            "Mean score on the examples of each label, on one scale: a head may count for one label"
            " only."
        )
        row(score_maps.label_maps(scores, drawn, now.flip), "label")
    elif now.panel == "Means" and means is not None:
        counts = ", ".join(
            f"{literal(label)} {means.counts.get(label, 0)}" for label in scores.by_label
        )
        st.caption(
            "What a head gives on average, taken as saying nothing about the label (label-balanced"
            f" mean), and how far each label's own mean departs from it. Examples: {counts}.",
            help=TERMS["mean"],
        )
        row(
            [
                head_grid.means_map(
                    score_maps.mean_sizes(means),
                    drawn,
                    title="Size of the balanced mean",
                    unit="norm",
                    flip=now.flip,
                )
            ],
            "mean",
        )
        row(score_maps.departure_maps(means, scores.by_label, drawn, now.flip), "departure")
    elif now.panel == "Distribution":
        line = score_maps.cut(scores, circuit, session_circuit.threshold(scores))
        fig = score_charts.score_histogram(
            scores.values.numpy(), line, circuit.heads, unit=score_maps.UNITS[scores.method]
        )
        chart.show(fig, "histogram", name="distribution-of-scores")
        st.caption("The line is where the Circuit page's rule parts the heads by score.")
    elif now.panel == "One example":
        one_example(scores, circuit, score_runs.pool_of(run))


def compare(scores: Scores, circuit: Circuit, run: runs.Run, task: Task):
    now = binding.view()
    st.segmented_control(
        "Compare",
        COMPARISONS,
        required=True,
        wrap=True,
        label_visibility="collapsed",
        **binding.bind("comparison"),
    )
    if now.comparison == "Two methods":
        comparison.methods(scores, run)
    elif now.comparison == "Side by side":
        comparison.beside(scores, run, circuit, task)
    else:
        validation.draw()


def one_example(scores: Scores, circuit: Circuit, pool: list[dict]):
    now = binding.view()
    text = pool[now.example]["text"] if now.example < len(pool) else ""
    st.caption(
        f"Scores on the example chosen below: “{literal(text)}”,"
        f" **{literal(scores.labels[now.example])}**. Same colours as the map at the top; one"
        " example varies more than the mean does, so more cells reach the ends of the scale."
    )
    row([score_maps.example_map(scores, now.example, circuit, now.head, now.flip)], "example")


def row(figures: list, key: str):
    with st.container(horizontal=True):
        for i, fig in enumerate(figures):
            chart.show(fig, f"{key}-{i}", width="content")


page()
