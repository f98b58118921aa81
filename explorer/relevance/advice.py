"""Advice on which heads should be trained, on Relevance: its run for the current model and target,
and its result as maps, a scatter and a table.
"""

import pandas as pd
import streamlit as st

from ctsft import runs
from ctsft.circuit.advice_ranking import Ranking
from ctsft.jobs.advice import ADVICE_ROWS
from ctsft.jobs.command_line import shell_command
from ctsft.jobs.requests import needed_request
from ctsft.plots import advice as plots_advice
from explorer.relevance.page_scores import PageScores
from explorer.session import advice_runs, binding, errors, inputs, start_runs
from explorer.text.glossary import TERMS
from explorer.text.run_names import display_name
from explorer.widgets import (
    chart,
    cost_estimate,
    head_clicks,
    recorded_notice,
    run_progress,
)
from explorer.widgets.advice_notice import weights
from explorer.widgets.run_receipts import covered_by

MAP, SCATTER = "advice_map", "advice_scatter"
MAP_HELP = {
    "worth": TERMS["advice"],
    "asks": TERMS["target gradient"],
    "costs": TERMS["source loss"],
}

COLUMNS = {
    "worth": st.column_config.NumberColumn(
        "worth training", format="%.2f", help=TERMS["advice"] + " The value of the best head is 1."
    ),
    "asks": st.column_config.NumberColumn(
        "target gradient", format="%.3g", help=TERMS["target gradient"]
    ),
    "costs": st.column_config.NumberColumn("source loss", format="%.3g", help=TERMS["source loss"]),
    "relevance": st.column_config.NumberColumn(format="%.3g", help=TERMS["relevance"]),
}


def draw(shown: PageScores):
    view = binding.view()
    st.subheader("Which heads should be trained?", help=TERMS["advice"])
    st.write(
        "Advice ranks the heads by the target language's gain at equal loss of the source language."
    )
    targets = [language for language in shown.task.languages if language != view.source]
    if not targets:
        st.info(
            "Advice compares two languages, and this task has only one. Choose a task with a target"
            " language on Setup.",
            icon=":material/info:",
        )
        return
    if view.split == "test":
        st.info(
            "Advice never uses test rows, and Setup draws from them now. Choose the train or the"
            " validation split there.",
            icon=":material/info:",
        )
        return
    choose_rows(targets)
    with errors.sentences(stop=False):
        compute(k=len(shown.circuit) or view.k)
        run = advice_runs.best_run(view, weights())
        ranking = advice_runs.read(run)
        if ranking and ranking.shape == tuple(shown.scores.values.shape):
            with covered_by("advice", run, shown.run):
                show(ranking, run, shown)


def choose_rows(targets: list[str]):
    """The target language, and how many of its rows advice uses."""
    view = binding.view()
    if view.target not in targets:
        binding.put(target=targets[0])
    left, right = st.columns(2)
    left.selectbox(
        ":orange[●] Target language", targets, **binding.bind("target"), help=TERMS["target"]
    )
    with errors.sentences(stop=False):
        most = len(inputs.load_rows(view.task, view.data_dir, view.target, view.split))
        if not 1 <= view.n <= most:
            binding.put(n=most)
        right.number_input(
            f"Labelled {view.split} rows",
            1,
            most,
            step=5,
            **binding.bind("n"),
            help=(
                f"Of {most}. Advice uses the rows that Fine-tune will use with this number and"
                f" its seed, {view.tune_seed}: no other rows of the target, and never test rows."
            ),
        )


def compute(k: int):
    """The advice run in progress, or a button where there is no advice for the current rows."""
    view = binding.view()
    active = advice_runs.best_run(view, weights(), start_runs.ACTIVE)
    done = advice_runs.best_run(view, weights())
    if active:
        run_progress.watch(active, savable=False)
        return
    if done and advice_runs.rows_of(done) == advice_runs.current_rows(view):
        return
    if recorded_notice.draw():
        return
    last = next(advice_runs.matching_runs(view, weights()), None)
    if last and last != done:
        run_progress.ended(last)
    if done:
        n, seed = advice_runs.rows_of(done)
        st.warning(
            f"This advice is from {n} rows drawn with seed {seed}. With the current"
            f" settings, Fine-tune will use {view.n} rows drawn with seed {view.tune_seed}.",
            icon=":material/update:",
        )
    rows = view.n + ADVICE_ROWS
    cost_estimate.of_rows(
        rows,
        "Advice",
        cost_estimate.SINGLE_TEXT_GRADIENTS,
        f"a forward and a backward pass of {rows} texts, most of them one at a time",
    )
    if st.button(
        "Compute again" if done else "Compute advice",
        icon=":material/balance:",
        help=(
            f"Computes gradients of the loss on the target rows and on {ADVICE_ROWS} source rows"
            " that competence tuning and discovery also use."
        ),
    ):
        start_runs.start_advice(view, k)
        st.rerun()


def show(ranking: Ranking, run: runs.Run, shown: PageScores):
    view, circuit = binding.view(), shown.circuit
    relevance = shown.scores.values.numpy()
    k = len(circuit) or view.k
    roles = (view.source, view.target)
    finding, suggestion = plots_advice.advice_sentences(
        ranking, relevance, circuit, k, tuple(map(display_name, roles))
    )
    st.write(f"{finding} {suggestion}")
    advice_map(ranking, shown, k)
    advice_scatter(ranking, shown, k)
    actions(ranking, run, shown, k)
    with st.expander("Table of all heads, and the command"):
        st.dataframe(
            pd.DataFrame(plots_advice.advice_table(ranking, relevance, circuit)),
            hide_index=True,
            column_config=COLUMNS,
            alt=(
                "All heads in the order of the advice: worth training, target gradient, source"
                " loss, relevance, and whether the head is in the circuit."
            ),
        )
        st.code(shell_command(needed_request(run)), language="shell", wrap_lines=True)


def advice_map(ranking: Ranking, shown: PageScores, k: int):
    view = binding.view()
    st.segmented_control(
        "Show",
        list(plots_advice.MAPS),
        format_func=plots_advice.MAPS.get,
        required=True,
        label_visibility="collapsed",
        **binding.bind("advice_map"),
        help=MAP_HELP[view.advice_map],
    )
    figure = plots_advice.advice_map(
        ranking, view.advice_map, shown.circuit, k=k, selected=view.head, flip=view.flip
    )
    chart.show(figure, MAP, width="content")
    head_clicks.draw(MAP, shown.model.heads, lambda head: binding.put(head=head))


def advice_scatter(ranking: Ranking, shown: PageScores, k: int):
    view = binding.view()
    names = tuple(
        language.replace("_", " ").capitalize() for language in (view.source, view.target)
    )
    figure = plots_advice.advice_scatter(ranking, shown.circuit, k, view.head, names)
    chart.show(figure, SCATTER)
    head_clicks.draw(SCATTER, shown.model.heads, lambda head: binding.put(head=head))
    st.caption(
        "Each point is a head. Higher: the target gains more. Further left: the source loses less."
        " The ring marks the selected head; click a point to select another.",
        help=MAP_HELP["costs"],
    )


def actions(ranking: Ranking, run: runs.Run, shown: PageScores, k: int):
    with st.container(horizontal=True):
        st.button(
            f"Use the {k} advised heads as the circuit",
            on_click=use_advised,
            args=(k,),
            icon=":material/hub:",
            disabled=shown.circuit.heads == set(ranking.order[:k]),
            help="Sets the rule on the Circuit page to Advised. Undo there restores the old rule.",
        )
        st.download_button(
            "Advice (CSV)",
            ranking.csv,
            f"advice-{run.id}.csv",
            "text/csv",
            on_click="ignore",
            icon=":material/download:",
            help=(
                "Columns: value, Σ g² / (F + damping); gradient, the norm of the target's gradient;"
                " fisher, the Fisher information F itself and not its root."
            ),
        )


def use_advised(k: int):
    binding.remember()
    binding.put(rule="advised", k=k, added=frozenset(), removed=frozenset())
