"""Start the shell's own commands as detached runs, and watch one on a page.

Nothing runs in the server: a run outlives the browser tab and the server, and is found again by its request.
"""
from dataclasses import asdict

import streamlit as st

from ctsft import runs
from ctsft.circuit import Circuit, select
from ctsft.errors import UserError
from ctsft.jobs import Scoring, Subject
from ctsft.relevance import Scores
from ctsft.tuning import TuneConfig
from ctsft.tuning_jobs import CONTROLS, Tuning
from explorer.state import View, score_run, sentences

ACTIVE = ("queued", "running", "stopping")
CHOICE = ("--what", "--circuit", "--scores", "--k", "--pool-seed", "--name")     # the words that say what moves


def subject_words(subject: Subject) -> list[str]:
    words = ["--model", subject.model, "--task", subject.task, "--split", subject.split]
    words += ["--language", subject.language] if subject.language else []
    return words + (["--data-dir", subject.data_dir] if subject.data_dir else [])


def scoring_words(scoring: Scoring) -> list[str]:
    return ["--method", scoring.method, "--attention", scoring.attention, "--size", str(scoring.size), "--pool-seed", str(scoring.seed)]


def start_score(view: View) -> runs.Run:
    words = ["score", *subject_words(view.subject), *scoring_words(view.scoring), "--positions", view.positions, "--rules", view.rules, "--preview"]
    return runs.start(words, {"subject": asdict(view.subject), "scoring": asdict(view.scoring)})


def ensure_score(view: View) -> runs.Run:
    """The scoring run of these settings that is done or under way; otherwise a new one."""
    return score_run(("done", *ACTIVE)) or start_score(view)


def start_curve(view: View, scored: runs.Run, n_random: int, split: str = "valid") -> runs.Run:
    """Faithfulness against circuit size for the ranking of a scoring run."""
    subject = view.subject
    words = ["faithfulness", *subject_words(Subject(**{**asdict(subject), "split": split})), "--scores", scored.id,
             "--random", str(n_random)]
    return runs.start(words, {"scores": scored.id, "n_random": n_random, "rows_split": split})


def start_checks(view: View, n_random: int, pools: int) -> runs.Run:
    """How true the scores are: every way of ranking heads against ablation, random circuits and other pools."""
    words = ["validate", *subject_words(view.subject), "--size", str(view.size), "--pool-seed", str(view.pool_seed), "--random", str(n_random),
             "--pools", str(pools)]
    return runs.start(words, {"subject": asdict(view.subject)})


def tune_words(view: View, scored: runs.Run | None, circuit_file: str | None, k: int, name: str = "") -> list[str]:
    """The exact command of a fine-tuning run, without `python -m ctsft`."""
    words = ["finetune", *subject_words(view.subject), "--target", view.target, "--what", view.what, "--n", str(view.n), "--epochs", str(view.epochs),
             "--lr", f"{view.lr:g}", "--batch", str(view.batch), "--seed", str(view.tune_seed), "--checkpoint-every", "5"]
    if view.what == "circuit" and circuit_file:
        words += ["--circuit", circuit_file]
    elif view.what not in ("norms", "full") and scored:
        words += ["--scores", scored.id, "--k", str(k)]
        words += ["--pool-seed", str(view.tune_seed)] if view.what == "random" else []      # draws the heads
    return words + (["--name", name] if name else [])


def would_move(view: View, scores: Scores | None, circuit: Circuit | None) -> Circuit | None:
    """The heads that `tune_words` would move, none of them for "norms", all for "full"; None while scores are needed and not there."""
    if view.what in ("norms", "full"):
        return select(scores, "all" if view.what == "full" else "none") if scores else None
    if view.what in CONTROLS and scores and circuit:
        return select(scores, view.what, k=len(circuit), **({"seed": view.tune_seed} if view.what == "random" else {}))
    return circuit


def start_tune(view: View, scored: runs.Run | None, circuit: Circuit | None, name: str = "") -> runs.Run:
    """Start what `tune_words` says. `circuit`: the one in force, whose size the controls take."""
    file, k = keep_circuit(circuit) if view.what == "circuit" else None, len(circuit or ())
    tuning = Tuning(view.target, view.what, file, scored.id if view.what in CONTROLS else None, k, view.n)
    config = TuneConfig(epochs=view.epochs, learning_rate=view.lr, batch_size=view.batch, seed=view.tune_seed, checkpoint_every=5)
    params = {"subject": asdict(view.subject), "tuning": asdict(tuning), "config": config.model_dump()}
    return runs.start(tune_words(view, scored, file, k, name), params, name)


def tuning_runs(view: View) -> list[runs.Run]:
    """Newest first: the tuning runs of the view's model and task, without competence tuning (target = source)."""
    def own(params: dict) -> bool:
        subject, tuning = params.get("subject", {}), params.get("tuning", {})
        same = (subject.get("model"), subject.get("task"), subject.get("data_dir") or "") == (view.model, view.task, view.data_dir)
        return same and tuning.get("target") not in (None, subject.get("language")) and "competence" not in params
    return [run for run in runs.list_runs("finetune") if own(run.request.params)]


def everything_words(words: list[str]) -> list[str]:
    """A tuning run's command with everything moving instead, and all else the same."""
    kept, rest = [], iter(words)
    for word in rest:
        if word in CHOICE:
            next(rest, None)
        elif word.split("=")[0] not in CHOICE:
            kept.append(word)
    return [*kept, "--what", "full"]


def start_everything(run: runs.Run) -> runs.Run:
    """The same run again with everything moving: what a circuit is compared with."""
    params = run.request.params
    tuning = params["tuning"] | {"what": "full", "circuit": None, "scores": None}
    return runs.start(everything_words(run.request.argv), {"subject": params["subject"], "tuning": tuning, "config": params["config"]})


def keep_circuit(circuit: Circuit) -> str:
    """Write the circuit where a run can read it; the same circuit goes to the same file."""
    folder = runs.home() / "circuits"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ("-".join(f"{layer}.{head}" for layer, head in sorted(circuit.heads))[:120] + f"-{hash(circuit.heads) & 0xffffffff:08x}.json")
    circuit.save(path)
    return str(path)


def start_competence(view: View, epochs: int = 3, lr: float = 5e-5) -> runs.Run:
    """Full tuning on the source language; the tuned model is kept as a folder that Setup can load."""
    words = ["finetune", *subject_words(view.subject), "--target", view.source, "--what", "full", "--n", "0", "--epochs", str(epochs),
             "--lr", f"{lr:g}", "--eval-split", "valid", "--save-model"]
    return runs.start(words, {"competence": view.model, "subject": asdict(view.subject)}, name=f"competence of {view.model}")


def time_left(seconds: float | None) -> str:
    """ "about 40 s left"; empty while it is not known."""
    if seconds is None:
        return ""
    for unit, size, enough in (("s", 1, 90), ("min", 60, 5400)):
        if seconds < enough:
            return f"about {seconds / size:.0f} {unit} left"
    return f"about {seconds / 3600:.1f} h left"


def sentence(run: runs.Run) -> str:
    """A run's state in a line."""
    status = run.status()
    if status.state == "queued" and status.message:
        return f"queued · {status.message}"
    if status.state in ("queued", "running"):
        return " · ".join(filter(None, [status.stage or "starting", f"{status.progress:.0%}", time_left(status.eta)]))
    return " · ".join(filter(None, [status.state, status.message]))


def watch(run: runs.Run, keepable: bool = True, every: float = 1.0):
    """Progress, time left and the stop buttons of a run; reruns the page when it ends. A run that died shows the end of its log.

    `keepable`: the job has something to keep when it is stopped early.
    """
    if st.session_state.pop("discard", None) == run.id:
        confirm_discard(run.id)                        # from here: a dialog of a fragment that reruns by itself loses its clicks
    if run.status().active:
        st.fragment(_progress, run_every=every)(run.id, keepable)
    else:
        ended(run)


def _progress(run_id: str, keepable: bool):
    try:
        run = runs.get(run_id)
    except UserError:                                  # discarded, here or elsewhere
        st.rerun()
    status = run.status()
    if not status.active:
        st.rerun()
    st.progress(status.progress, text=sentence(run))
    left, right, _ = st.columns([1, 1, 3])
    if keepable and left.button("Stop and keep", key=f"keep-{run_id}", disabled=status.state == "stopping",
                                help="Finish this step and keep what is done."):
        runs.stop(run, "keep")
        st.rerun(scope="fragment")
    if right.button("Discard", key=f"discard-{run_id}", help="End the run and delete what it made."):
        st.session_state.discard = run_id
        st.rerun()


@st.dialog("Discard this run?")
def confirm_discard(run_id: str):
    st.write("The run ends, and everything it made is deleted.")
    if st.button("Discard it", type="primary"):
        with sentences():
            runs.stop(runs.get(run_id), "discard")
        st.rerun()


def ended(run: runs.Run):
    """What a page says of a run that is over; nothing when it is simply done."""
    status = run.status()
    if status.state in ("failed", "lost"):
        st.error(f"This run {'failed' if status.state == 'failed' else 'was lost'}: {status.message}", icon=":material/error:")
        with st.expander("End of its log"):
            st.code(run.log_tail(30) or "(empty)", language=None)
    elif status.state == "stopped":
        st.info(status.message or "The run was stopped.", icon=":material/stop_circle:")
