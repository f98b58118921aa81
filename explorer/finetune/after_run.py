"""After a tuning run: what came of it in a sentence, how much each head changed, whether the
circuit moved, and the files to take away.
"""

from dataclasses import asdict

import streamlit as st

from ctsft import runs
from ctsft.attribution.methods import METHODS
from ctsft.circuit.circuit import Circuit
from ctsft.jobs import rescoring, tuning_table
from ctsft.jobs.export import base_path
from ctsft.plots import change_map, score_agreement
from ctsft.plots.head_grid import Marks
from ctsft.runs import results
from ctsft.tuning.delta_comparison import head_changes
from ctsft.utils import format
from explorer.finetune import command
from explorer.session import binding, errors, inputs, measured_rows, start_runs
from explorer.text import outcomes
from explorer.text.glossary import TERMS
from explorer.widgets import chart, run_progress

PANELS = ("What changed", "Did the circuit move?", "Files and export")


def draw(run: runs.Run):
    """Of a run that is over; nothing of it while there is no result."""
    row = tuning_table.table_row(run)
    if row and row["state"] in outcomes.ENDED:
        st.markdown(
            outcomes.outcome(row, measured_rows.measured_on(run), split_of(run)),
            help=TERMS["noise"],
        )
        if row["what"] != "full" and st.button(
            "Run the same with everything moving",
            icon=":material/compare_arrows:",
            help=(
                "Ordinary fine-tuning with the same rows and settings: only beside it does one see"
                " what moving little saves and costs."
            ),
        ):
            st.session_state.tune_next = command.start_everything(run).id
            st.rerun()
    if not run.file("delta.safetensors").is_file() or not results.result(run):
        return
    panel = st.segmented_control(
        "Afterwards", PANELS, required=True, **binding.bind("after_panel"), help=TERMS["moved"]
    )
    with errors.sentences(stop=False):
        {PANELS[0]: changed, PANELS[1]: moved, PANELS[2]: files}[panel](run)


def split_of(run: runs.Run) -> str:
    final = results.result(run).get("final")
    return final["split"] if final else run.request.params["tuning"].get("eval_split", "test")


def chosen(run: runs.Run) -> frozenset:
    """The heads that were to move."""
    path = run.file("circuit.json")
    return Circuit.load(path).heads if path.is_file() else frozenset()


@st.cache_data(show_spinner="Reading what changed ...", max_entries=32)
def measured(model: str, weights: str, path: str, changed_at: float) -> list[dict]:
    return head_changes(inputs.load_model(model), path)


def changed(run: runs.Run):
    st.write(
        "How far each head's numbers moved: query, key and value rows and output columns together."
        " Look whether the change sits where the relevance does."
    )
    model = inputs.load_model(base_path(run))
    path, again = run.file("delta.safetensors"), rescored(run)
    kept = results.result(again).get("changes") if again else None
    if kept is None and model.n_params > inputs.SMALL:
        st.info(
            "For a model of this size the change is measured by a run of its own, together with the"
            " scores after tuning: start it under *Did the circuit move?*",
            icon=":material/grid_on:",
        )
        return
    rows = kept or measured(base_path(run), model.fingerprint, str(path), path.stat().st_mtime)
    heads = chosen(run)
    chart.show(
        change_map.change_map(rows, heads, binding.view().flip),
        "change_map",
        width="content",
        name=f"change-{run.id}",
    )
    st.caption(
        change_map.change_sentence(rows, heads)
        + (
            " Adapters change whole matrices, so every head of an adapted layer."
            if lora(run)
            else ""
        ),
        help=TERMS["change"],
    )


def lora(run: runs.Run) -> bool:
    return run.request.params["tuning"].get("what") in command.ADAPTERS


def rescored(run: runs.Run) -> runs.Run | None:
    """The newest rescoring of what the run holds now: not one from before it was resumed."""
    found = rescoring.newest(run.id)
    return found if found and found.request.created >= (run.status().finished or 0) else None


def moved(run: runs.Run):
    st.write(
        "The heads scored again on the tuned model, on the same examples of the source language."
        " Where the order stays, the same heads carry the task as before; where it does not, others"
        " do now."
    )
    again = rescored(run)
    if again and again.status().active:
        run_progress.watch(again, savable=False)
        return
    if again:
        run_progress.ended(again)
    pair = read_pair(again.id, again.status().finished) if again else None
    if pair is None:
        if st.button(
            "Score the tuned model",
            icon=":material/grid_on:",
            help="A run of its own; it takes about twice as long as scoring did.",
        ):
            start(run)
            st.rerun()
        return
    words = results.result(again)
    st.markdown(change_map.rescoring_sentences(words), help=TERMS["spearman"])
    figures = score_agreement.difference_maps(
        *pair, ("before tuning", "after tuning"), Marks(chosen(run)), binding.view().flip
    )
    with st.container(horizontal=True):
        for i, fig in enumerate(figures):
            chart.show(fig, f"moved-{i}", width="content", name=f"moved-{i}-{run.id}")
    st.caption(
        f"{METHODS[words['method']].label}, {words['examples']} examples; the tuned model still"
        f" answers {words['right']:.0%} of them rightly. The first two maps share one scale; in the"
        " third, purple heads count more after tuning, green ones less. Outlined: heads that were"
        " chosen to move."
    )


@st.cache_data(show_spinner=False, max_entries=16)
def read_pair(run_id: str, finished: float | None):
    return rescoring.scores_of(runs.get(run_id))


def start(run: runs.Run) -> runs.Run:
    """Score the tuned model as the Relevance page scores heads now; as many top heads are followed
    as moved.
    """
    now = binding.view()
    k = len(chosen(run)) or now.k or 1
    words = [
        "rescore",
        run.id,
        "--k",
        str(k),
        *start_runs.scoring_words(now.scoring),
        "--positions",
        now.positions,
        "--rules",
        now.rules,
    ]
    return runs.start(words, {"tuned": run.id, "scoring": asdict(now.scoring)})


def files(run: runs.Run):
    st.write(
        "The delta holds only the numbers that moved. An exported folder is an ordinary Hugging"
        " Face model with the change merged in and a model card; plain transformers loads it."
    )
    delta, circuit = run.file("delta.safetensors"), run.file("circuit.json")
    with st.container(horizontal=True):
        st.download_button(
            f"Delta ({delta.stat().st_size / 1e6:.2g} MB)",
            delta.read_bytes,
            f"{run.id}.safetensors",
            icon=":material/download:",
            on_click="ignore",
            help=(
                "ctsft.apply_delta(model, path) puts it into the model it was tuned from, and"
                " refuses another."
            ),
        )
        if circuit.is_file():
            st.download_button(
                "Circuit (JSON)",
                circuit.read_bytes,
                f"{run.id}-circuit.json",
                "application/json",
                icon=":material/download:",
                on_click="ignore",
            )
    st.code(str(delta), language=None)
    exported(run)


def exported(run: runs.Run):
    step = results.result(run)["history"][-1]["step"]
    # it may be resumed later
    folder = (
        runs.home()
        / "exports"
        / (run.id if run.status().state == "done" else f"{run.id}-step-{step}")
    )
    job = next(
        (one for one in runs.list_runs("export") if one.request.params.get("to") == str(folder)),
        None,
    )
    if job and job.status().active:
        run_progress.watch(job, savable=False)
    elif folder.is_dir():
        st.success(
            "The exported model is in this folder; give its path to from_pretrained, or to Setup as"
            " a local folder.",
            icon=":material/folder:",
        )
        st.code(str(folder), language=None)
    else:
        if job:
            run_progress.ended(job)
        words = ["export", run.id, "--to", str(folder)]
        if st.button(
            "Export the tuned model",
            icon=":material/folder_zip:",
            help=format.hover_text(f"Writes {folder}.", 200),
        ):
            runs.start(words, {"exported": run.id, "to": str(folder)})
            st.rerun()
        with st.expander("The same from the shell"):
            st.code(runs.shell_command(runs.Request(argv=words)), language="shell", wrap_lines=True)
