"""The paper's discovery on Circuit: run its iterations, show the result as a layered graph, and use
it as the current circuit.
"""

from dataclasses import replace

import streamlit as st

from ctsft import runs
from ctsft.circuit.circuit import Circuit
from ctsft.circuit.selection import heads_in_fraction
from ctsft.jobs.requests import needed_request
from ctsft.model.model import Model
from ctsft.plots import layered_graph
from ctsft.utils import format
from explorer.session import binding, requests, score_runs, start_runs
from explorer.text.glossary import TERMS
from explorer.widgets import chart, cost_estimate, head_clicks, recorded_notice, run_progress
from explorer.widgets.run_receipts import covered_by

GRAPH = "layered_graph"
COLUMNS = {
    "relevance": st.column_config.NumberColumn(format="%.4f", help=TERMS["edge"]),
    "iteration": st.column_config.NumberColumn(help=TERMS["depth"]),
}


def draw(model: Model, circuit: Circuit):
    st.markdown(
        "The paper finds a circuit in iterations: first the heads that act on the logits, then the"
        " heads that act on those heads, and so on. Each iteration selects the best share of all"
        " heads. Run the discovery, see which head acts on which, and use its circuit.",
        help=TERMS["discover"],
    )
    settings(model)
    view = binding.view()
    exact = run_with_settings(model)
    run = exact or newest_run(model)
    if exact is None:
        cost_estimate.draw(replace(view.scoring, method="cdt"), "An iteration")
    active = run is not None and run.status().active
    recorded = recorded_notice.draw()
    if st.button("Run discovery", disabled=active or recorded, icon=":material/account_tree:"):
        start_runs.start_discovery(view)
        st.rerun()
    if run is None:
        st.info(
            "No discovery has run yet for this model, task and source language.",
            icon=":material/account_tree:",
        )
        return
    run_progress.watch(run, savable=False)
    discovered = score_runs.circuit_of(run)
    if discovered is not None and discovered.edges and run.status().state == "done":
        with covered_by("discovery", run):
            show(run, discovered, model, circuit)


def settings(model: Model):
    depth, share = st.columns(2)
    depth.number_input("Depth", 0, 10, **binding.bind("depth"), help=TERMS["depth"])
    share.slider(
        "Share of all heads per iteration",
        0.01,
        0.5,
        step=0.01,
        format="percent",
        **binding.bind("each"),
        help=TERMS["fraction"],
    )
    size = heads_in_fraction(binding.view().each, len(model.heads))
    st.caption(
        f"Each iteration selects {count(size, 'head')} of {len(model.heads)}. Examples, seed and"
        " rules are those of the scores (Relevance, Scoring settings)."
    )


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def run_with_settings(model: Model) -> runs.Run | None:
    """The newest discovery with exactly the current settings."""
    view = binding.view()
    return score_runs.find_same(requests.discover_request(view), (), (None, model.fingerprint))


def newest_run(model: Model) -> runs.Run | None:
    """The newest finished discovery on the same rows, with any settings."""
    subject = binding.view().subject
    return score_runs.find_run(
        "discover",
        lambda request: request.subject == subject,
        ("done",),
        (None, model.fingerprint),
    )


def show(run: runs.Run, discovered: Circuit, model: Model, circuit: Circuit):
    """The graph of a discovery, and the button that uses its circuit."""
    st.markdown(f"**{result(run, discovered)}**")
    st.slider(
        "Smallest edge, as a share of the strongest",
        0.0,
        1.0,
        step=0.01,
        format="percent",
        **binding.bind("min_edge"),
        help=(
            "Edges to the logits and edges to heads have different units, so each kind is compared"
            " with its own strongest edge."
        ),
    )
    view = binding.view()
    st.caption(edges_shown(discovered), help=TERMS["edge"])
    figure = layered_graph.edge_graph(discovered.edges, model.n_layers, view.min_edge, view.head)
    chart.show(figure, GRAPH)
    head_clicks.draw(GRAPH, model.heads, lambda head: binding.put(head=head))
    with st.expander("Table of the edges"):
        st.dataframe(
            layered_graph.edge_table(discovered.edges, view.min_edge),
            hide_index=True,
            column_config=COLUMNS,
            alt="Every edge shown: its iteration, head, target and relevance.",
        )
    is_current = view.rule == "discover" and circuit.heads == discovered.heads
    st.button(
        "Use this circuit",
        icon=":material/check:",
        disabled=is_current,
        on_click=use,
        args=(run.id, discovered),
        help=(
            "This is the current circuit."
            if is_current
            else "Sets the rule to Discovered. Undo restores the earlier circuit."
        ),
    )


def edges_shown(discovered: Circuit) -> str:
    """How many edges are shown, and the smallest relevance of each kind, in one sentence."""
    edges, share = discovered.edges, binding.view().min_edge
    strongest = layered_graph.strongest_edges(edges)
    limits = [f"{format.number(share * strongest[True])} for the logits"]
    if strongest[False]:
        limits.append(f"{format.number(share * strongest[False])} for heads")
    return (
        f"{len(layered_graph.edges_above(edges, share))} of {len(edges)} edges have at least this"
        f" relevance: {' and '.join(limits)}. The width is the relevance; purple supports the"
        " correct label, green works against it."
    )


def result(run: runs.Run, discovered: Circuit) -> str:
    """What the discovery selected, and why it ended before the requested depth, if it did."""
    depth = discovered.rule.get("depth", 0)
    requested = needed_request(run).depth
    size = f"{count(len(discovered), 'head')} after {count(depth + 1, 'iteration')}"
    if depth >= requested:
        return f"{size}."
    targets = "the logits" if depth == 0 else f"the heads of iteration {depth - 1}"
    return (
        f"{size}, although depth {requested} was requested. All heads that iteration {depth}"
        f" selected for {targets} are in layer 0, and no layer comes before it, so a larger depth"
        " cannot change this circuit."
    )


def use(run_id: str, discovered: Circuit):
    """A callback. The rule names the run, so that a link can refer to this discovery."""
    binding.remember()
    binding.put(
        rule="discover",
        discovered=replace(discovered, rule=discovered.rule | {"run": run_id}),
        added=frozenset(),
        removed=frozenset(),
    )
