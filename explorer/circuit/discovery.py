"""The paper's discovery: run its iterations, look at what they found as a layered graph, and put
that circuit in force.
"""

from dataclasses import asdict, replace

import streamlit as st

from ctsft import runs
from ctsft.circuit.circuit import Circuit
from ctsft.circuit.selection import share_of
from ctsft.model.model import Model
from ctsft.plots import head_grid, layered_graph
from ctsft.utils import format
from explorer.session import binding, score_runs, start_runs
from explorer.text.glossary import TERMS
from explorer.widgets import chart, cost_estimate, run_progress

GRAPH = "layered_graph"


def draw(model: Model, circuit: Circuit):
    st.markdown(
        "The paper finds a circuit in steps: first the heads that act on the logits, then the heads"
        " that act on those, and so on. Each step keeps the best share of all heads. Run it, look"
        " at who acts on whom, and put what it found in force.",
        help=TERMS["discover"],
    )
    settings(model)
    now = binding.view()
    run = asked(now, model) or newest(now, model)
    if asked(now, model) is None:
        cost_estimate.draw(replace(now.scoring, method="cdt"), "An iteration")
    active = run is not None and run.status().active
    if st.button("Run discovery", disabled=active, icon=":material/account_tree:"):
        start_runs.start_discovery(now)
        st.rerun()
    if run is None:
        st.info(
            "No discovery has run yet with this model, task and source language.",
            icon=":material/account_tree:",
        )
        return
    run_progress.watch(run, savable=False)
    found = score_runs.circuit_of(run)
    if found is not None and found.edges and run.status().state == "done":
        show(run, found, model, circuit)


def settings(model: Model):
    depth, share = st.columns(2)
    depth.number_input("Depth", 0, 10, **binding.bind("depth"), help=TERMS["depth"])
    share.slider(
        "Share of all heads that an iteration keeps",
        0.01,
        0.5,
        step=0.01,
        format="percent",
        **binding.bind("each"),
        help=TERMS["fraction"],
    )
    size = share_of(binding.view().each, len(model.heads))
    st.caption(
        f"Each iteration keeps {size} {'head' if size == 1 else 'heads'} of {len(model.heads)};"
        " examples, seed and rules are those of the scores (Relevance, Settings)."
    )


def asked(now, model: Model) -> runs.Run | None:
    """The newest discovery with these very settings."""
    return score_runs.find_run(
        "discover",
        (),
        (None, model.fingerprint),
        subject=asdict(now.subject),
        discovery=start_runs.discovery(now),
    )


def newest(now, model: Model) -> runs.Run | None:
    """The newest finished one of the same rows, whatever its settings."""
    return score_runs.find_run(
        "discover", ("done",), (None, model.fingerprint), subject=asdict(now.subject)
    )


def show(run: runs.Run, found: Circuit, model: Model, circuit: Circuit):
    st.markdown(f"**{result(run, found)}**")
    st.slider(
        "Smallest edge, as a share of the strongest",
        0.0,
        1.0,
        step=0.01,
        format="percent",
        **binding.bind("min_edge"),
        help=(
            "Edges to the logits and edges to heads are measured in two units, so each kind goes by"
            " its own strongest edge."
        ),
    )
    now = binding.view()
    top = layered_graph.strongest_edges(found.edges)
    kinds = [f"{format.number(now.min_edge * top[True])} for the logits"] + [
        f"{format.number(now.min_edge * top[False])} for heads"
    ] * bool(top[False])
    st.caption(
        f"{len(layered_graph.edges_above(found.edges, now.min_edge))} of {len(found.edges)} edges have at least"
        f" this relevance: {' and '.join(kinds)}. Width is relevance; purple speaks for the right"
        " label, green against it.",
        help=TERMS["edge"],
    )
    fig = layered_graph.edge_graph(found.edges, model.n_layers, now.min_edge, now.head)
    chart.show(fig, GRAPH, on_select=pick, selection_mode="points")
    with st.expander("Edges as a table"):
        st.dataframe(
            layered_graph.edge_table(found.edges, now.min_edge),
            hide_index=True,
            column_config={
                "relevance": st.column_config.NumberColumn(format="%.4f", help=TERMS["edge"]),
                "iteration": st.column_config.NumberColumn(help=TERMS["depth"]),
            },
            alt="Every edge that is drawn: the iteration, the head, its target and the relevance.",
        )
    same = now.rule == "discover" and circuit.heads == found.heads
    st.button(
        "Put this circuit in force",
        icon=":material/check:",
        disabled=same,
        on_click=take,
        args=(run.id, found),
        help=(
            "It is in force already."
            if same
            else "The rule becomes Discovered; Undo brings the earlier circuit back."
        ),
    )


def result(run: runs.Run, found: Circuit) -> str:
    """What was found, and plainly why a discovery ended before its depth."""
    depth, wanted = (
        found.rule.get("depth", 0),
        run.request.params.get("discovery", {}).get("depth", found.rule.get("depth", 0)),
    )
    words = (
        f"{len(found)} {'head' if len(found) == 1 else 'heads'} after {depth + 1}"
        f" {'iteration' if depth == 0 else 'iterations'}"
    )
    if depth >= wanted:
        return f"{words}."
    last = "the logits" if depth == 0 else f"the heads of iteration {depth - 1}"
    return (
        f"{words}, although depth {wanted} was asked for. What iteration {depth} kept for {last}"
        " lies wholly in layer 0, and no layer comes before that one, so there is nothing left to"
        " look in: more depth cannot change this circuit."
    )


def take(run_id: str, found: Circuit):
    """The run's name goes along, so that a link can say which discovery it was."""
    binding.remember()
    binding.put(
        rule="discover",
        discovered=replace(found, rule=found.rule | {"run": run_id}),
        added=frozenset(),
        removed=frozenset(),
    )


def pick():
    """A click on a node selects its head."""
    points = [
        point
        for point in st.session_state[GRAPH]["selection"]["points"]
        if point.get("customdata") is not None
    ]
    for head in head_grid.toggle(points[-1:], ()):
        binding.put(head=head)
