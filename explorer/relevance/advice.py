"""Which heads should move: the advice run of the view's model and target, started, watched and
shown on Relevance.
"""

import pandas as pd
import streamlit as st

from ctsft import runs
from ctsft.attribution.scores import Scores
from ctsft.circuit.advice_ranking import Ranking
from ctsft.circuit.circuit import Circuit
from ctsft.data.task import Task
from ctsft.jobs.advice import ADVICE_ROWS
from ctsft.plots import advice as plots_advice
from ctsft.plots import head_grid
from explorer.session import advice_runs, binding, errors, inputs, start_runs
from explorer.text.glossary import TERMS
from explorer.text.outcomes import said
from explorer.widgets import chart, cost_estimate, run_progress
from explorer.widgets.advice_notice import weights

MAP, SCATTER = "advice_map", "advice_scatter"
HELP = {"worth": TERMS["advice"], "asks": TERMS["asks"], "costs": TERMS["costs"]}

COLUMNS = {
    "worth": st.column_config.NumberColumn(
        "worth moving", format="%.2f", help=TERMS["advice"] + " The best head's is 1."
    ),
    "asks": st.column_config.NumberColumn("target asks", format="%.3g", help=TERMS["asks"]),
    "costs": st.column_config.NumberColumn("source would lose", format="%.3g", help=TERMS["costs"]),
    "relevance": st.column_config.NumberColumn(format="%.3g", help=TERMS["relevance"]),
}


def draw(scores: Scores, circuit: Circuit, task: Task):
    now = binding.view()
    st.subheader("Which heads should move?", help=TERMS["advice"])
    st.write(
        "A head that carries the task is not always the head to tune. This asks of every head what"
        " the target language wants of it, and what the source language would lose if it moved; the"
        " heads that win most for what they cost are advised."
    )
    targets = [language for language in task.languages if language != now.source]
    if not targets:
        st.info(
            "This task has one language only, and advice weighs two; choose a task with a target"
            " language on Setup.",
            icon=":material/info:",
        )
        return
    if now.split == "test":
        st.info(
            "Advice is never taken on test rows, and Setup draws from them now; choose the train or"
            " the validation rows there.",
            icon=":material/info:",
        )
        return
    choose(targets)
    with errors.sentences(stop=False):
        ask(len(circuit) or now.k)
        run = advice_runs.run_of(binding.view(), weights())
        kept = advice_runs.read(run)
        if kept and kept.shape == tuple(scores.values.shape):
            show(kept, run, scores, circuit)


def choose(targets: list[str]):
    """Whose advice: the language, and how many of its rows."""
    now = binding.view()
    if now.target not in targets:
        binding.put(target=targets[0])
    left, right = st.columns(2)
    left.selectbox(
        ":orange[●] Target language", targets, **binding.bind("target"), help=TERMS["target"]
    )
    with errors.sentences(stop=False):
        most = len(inputs.load_rows(now.task, now.data_dir, binding.view().target, now.split))
        if not 1 <= now.n <= most:
            binding.put(n=most)
        right.number_input(
            f"Labelled {now.split} rows",
            1,
            most,
            step=5,
            **binding.bind("n"),
            help=(
                f"Of {most}. The rows that Fine-tune draws with the same number and its seed,"
                f" {now.tune_seed}: advice sees no others of the target, and never test rows."
            ),
        )


def ask(k: int):
    """The run that is under way, and the button where the rows in question were not asked yet."""
    now = binding.view()
    active, done = (
        advice_runs.run_of(now, weights(), start_runs.ACTIVE),
        advice_runs.run_of(now, weights()),
    )
    if active:
        run_progress.watch(active, keepable=False)
        return
    if done and advice_runs.rows_of(done) == advice_runs.asked_by(now):
        return
    last = next(advice_runs.found(now, weights()), None)
    if last and last != done:
        run_progress.ended(last)
    if done:
        n, seed = advice_runs.rows_of(done)
        st.warning(
            f"This advice is from {n} rows drawn with seed {seed}; Fine-tune would now draw {now.n}"
            f" with seed {now.tune_seed}.",
            icon=":material/update:",
        )
    rows = now.n + ADVICE_ROWS
    cost_estimate.of_rows(
        rows,
        "Advice",
        cost_estimate.BY_TEXT,
        f"a forward and a backward pass of {rows} texts, most of them one at a time",
    )
    if st.button(
        "Ask again" if done else "Ask which heads should move",
        icon=":material/balance:",
        help=(
            f"Gradients of the loss on the target rows and on {ADVICE_ROWS} source rows that"
            " competence and discovery know already."
        ),
    ):
        start_runs.start_advice(now, k)
        st.rerun()


def show(kept: Ranking, run: runs.Run, scores: Scores, circuit: Circuit):
    now = binding.view()
    k, roles = len(circuit) or now.k, (now.source, now.target)
    shows, do = plots_advice.sentences(
        kept, scores.values.numpy(), circuit, k, tuple(map(said, roles))
    )
    st.write(f"{shows} {do}")
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.segmented_control(
            "Show",
            list(plots_advice.MAPS),
            format_func=plots_advice.MAPS.get,
            required=True,
            label_visibility="collapsed",
            **binding.bind("advice_map"),
            help=HELP[now.advice_map],
        )
        fig = plots_advice.advice_map(kept, now.advice_map, circuit, k, now.head, now.flip)
        chart.show(fig, MAP, width="content", on_select=lambda: pick(MAP), selection_mode="points")
    with right:
        fig = plots_advice.advice_scatter(
            kept, circuit, k, now.head, tuple(name.replace("_", " ").capitalize() for name in roles)
        )
        chart.show(fig, SCATTER, on_select=lambda: pick(SCATTER), selection_mode="points")
        st.caption(
            "A point is a head: the higher, the more is asked of it; the further left, the less"
            " would be lost. The ring is the selected one; click another to select it.",
            help=HELP["costs"],
        )
    take(kept, run, circuit, k)
    with st.expander("Every head, and the same from the shell"):
        st.dataframe(
            pd.DataFrame(plots_advice.table(kept, scores.values.numpy(), circuit)),
            hide_index=True,
            column_config=COLUMNS,
            alt=(
                "Every head by its place in the advice: worth, what the target asks, what the"
                " source would lose, relevance, in the circuit."
            ),
        )
        st.code(runs.shell_command(run.request), language="shell", wrap_lines=True)


def take(kept: Ranking, run: runs.Run, circuit: Circuit, k: int):
    with st.container(horizontal=True):
        st.button(
            f"Take the {k} advised heads as the circuit",
            on_click=adopt,
            args=(k,),
            icon=":material/hub:",
            disabled=circuit.heads == set(kept.order[:k]),
            help="Sets the Circuit page's rule to Advised; undo there brings the old one back.",
        )
        st.download_button(
            "Advice (CSV)",
            kept.csv,
            f"advice-{run.id}.csv",
            "text/csv",
            on_click="ignore",
            icon=":material/download:",
            help=(
                "value: Σ g² / (F + damping); gradient: what the target asks; fisher: Fisher"
                " information, not its root."
            ),
        )


def adopt(k: int):
    binding.remember()
    binding.put(rule="advised", k=k, added=frozenset(), removed=frozenset())


def pick(key: str):
    """A click selects the head it hits."""
    for head in head_grid.toggle(st.session_state[key]["selection"]["points"][-1:], ()):
        binding.put(head=head)
