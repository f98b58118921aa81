"""Start the shell's own commands as detached runs, and watch one on a page.

Nothing runs in the server: a run outlives the browser tab and the server, and is found again by its
request.
"""

from dataclasses import asdict

import streamlit as st

from ctsft import runs
from ctsft.jobs.requests import Scoring, Subject, Tuning
from ctsft.utils.errors import UserError
from explorer import guard
from explorer.state import find_run, score_run, sentences
from explorer.view import View

ACTIVE = ("queued", "running", "stopping")


def subject_words(subject: Subject) -> list[str]:
    words = ["--model", subject.model, "--task", subject.task, "--split", subject.split]
    words += ["--language", subject.language] if subject.language else []
    return words + (["--data-dir", subject.data_dir] if subject.data_dir else [])


def scoring_words(scoring: Scoring) -> list[str]:
    return [
        "--method",
        scoring.method,
        "--attention",
        scoring.attention,
        "--size",
        str(scoring.size),
        "--pool-seed",
        str(scoring.seed),
    ]


def start_score(view: View) -> runs.Run:
    words = [
        "score",
        *subject_words(view.subject),
        *scoring_words(view.scoring),
        "--positions",
        view.positions,
        "--rules",
        view.rules,
        "--preview",
    ]
    return runs.start(words, {"subject": asdict(view.subject), "scoring": asdict(view.scoring)})


def ensure_score(view: View) -> runs.Run:
    """The scoring run of these settings that is done or under way; otherwise a new one."""
    return score_run(("done", *ACTIVE)) or start_score(view)


def discovery(view: View) -> dict:
    """What determines a discovery of the view, beside its subject."""
    return {
        "depth": view.depth,
        "fraction": view.each,
        "attention": view.attention,
        "rules": view.rules,
        "size": view.size,
        "seed": view.pool_seed,
    }


def start_discovery(view: View) -> runs.Run:
    """The paper's iterations: heads that act on the logits, then heads that act on those."""
    words = [
        "discover",
        *subject_words(view.subject),
        "--depth",
        str(view.depth),
        "--fraction",
        f"{view.each:g}",
        "--attention",
        view.attention,
        "--rules",
        view.rules,
        "--size",
        str(view.size),
        "--pool-seed",
        str(view.pool_seed),
    ]
    return runs.start(words, {"subject": asdict(view.subject), "discovery": discovery(view)})


def start_curve(view: View, scored: runs.Run, n_random: int, split: str = "valid") -> runs.Run:
    """Faithfulness against circuit size for the ranking of a scoring run."""
    subject = view.subject
    words = [
        "faithfulness",
        *subject_words(Subject(**{**asdict(subject), "split": split})),
        "--scores",
        scored.id,
        "--random",
        str(n_random),
    ]
    return runs.start(words, {"scores": scored.id, "n_random": n_random, "rows_split": split})


def start_checks(view: View, n_random: int, pools: int) -> runs.Run:
    """How true the scores are: every way of ranking heads against ablation, random circuits and
    other pools.
    """
    words = [
        "validate",
        *subject_words(view.subject),
        "--size",
        str(view.size),
        "--pool-seed",
        str(view.pool_seed),
        "--random",
        str(n_random),
        "--pools",
        str(pools),
    ]
    return runs.start(words, {"subject": asdict(view.subject)})


def start_advice(view: View, k: int) -> runs.Run:
    """Which heads should move: advice on the rows that Fine-tune would draw; k of them become its
    circuit file.
    """
    tuning = Tuning(view.target, "advised", k=k, n=view.n)
    words = [
        "advise",
        *subject_words(view.subject),
        "--target",
        view.target,
        "--n",
        str(view.n),
        "--seed",
        str(view.tune_seed),
        "--k",
        str(k),
    ]
    return runs.start(
        words, {"subject": asdict(view.subject), "tuning": asdict(tuning), "seed": view.tune_seed}
    )


def start_competence(view: View, epochs: int = 3, lr: float = 5e-5) -> runs.Run:
    """Full tuning on the source language; the tuned model is kept as a folder that Setup can
    load.
    """
    words = [
        "finetune",
        *subject_words(view.subject),
        "--target",
        view.source,
        "--what",
        "full",
        "--n",
        "0",
        "--epochs",
        str(epochs),
        "--lr",
        f"{lr:g}",
        "--eval-split",
        "valid",
        "--save-model",
    ]
    return runs.start(
        words,
        {"competence": view.model, "subject": asdict(view.subject)},
        name=f"competence of {view.model}",
    )


def unscored(why: str):
    """On a page that needs scores: which there are not, and where to get them."""
    active, last = score_run(ACTIVE), score_run()
    if active:
        st.info(
            f"The heads are being scored, and {why}: this page begins with the first scores.",
            icon=":material/hourglass_top:",
        )
        watch(active, keepable=False)
    elif last and last.status().state in ("failed", "lost", "stopped"):
        ended(last)
        st.info(
            f"The scoring of these settings did not end well, and {why}. Score the heads again.",
            icon=":material/grid_on:",
        )
    elif last:
        st.warning(
            f"The scores of these settings were removed from their run folder, and {why}. Score the"
            " heads again.",
            icon=":material/warning:",
        )
    elif find_run("score", ("done",)):
        st.info(
            "Out of date: nothing is scored with this model, task, source language and these"
            f" settings yet, and {why}. Score the heads again, or take the earlier settings back.",
            icon=":material/update:",
        )
    else:
        st.info(
            f"There are no scores for these settings yet, and {why}. Score the heads first.",
            icon=":material/grid_on:",
        )
    st.page_link("screens/relevance.py", label="Score the heads", icon=":material/arrow_back:")


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
        return " · ".join(
            filter(
                None, [status.stage or "starting", f"{status.progress:.0%}", time_left(status.eta)]
            )
        )
    return " · ".join(filter(None, [status.state, status.message]))


def watch(run: runs.Run, keepable: bool = True, every: float = 1.0, keep: str = "Stop and keep"):
    """Progress, time left and the stop buttons of a run; reruns the page when it ends. A run that
    died shows the end of its log.

    `keepable`: the job has something to keep when it is stopped early; `keep`: what that button is
    called.
    """
    if st.session_state.pop("discard", None) == run.id:
        # from here: a dialog of a fragment that reruns by itself loses its clicks
        confirm_discard(run.id)
    if run.status().active:
        guard.fragment(_progress, run_every=every)(run.id, keep if keepable else "")
    else:
        ended(run)


def _progress(run_id: str, keep: str):
    try:
        run = runs.get(run_id)
    except UserError:  # discarded, here or elsewhere
        st.rerun()
    status = run.status()
    if not status.active:
        st.rerun()
    st.progress(status.progress, text=sentence(run))
    left, right, _ = st.columns([1, 1, 3])
    if keep and left.button(
        keep,
        key=f"keep-{run_id}",
        disabled=status.state == "stopping",
        help="Finish this step and keep what is done.",
    ):
        runs.stop(run, "keep")
        st.rerun(scope="fragment")
    if right.button(
        "Discard", key=f"discard-{run_id}", help="End the run and delete what it made."
    ):
        st.session_state.discard = run_id
        st.rerun()


@st.dialog("Discard this run?")
def confirm_discard(run_id: str):
    experiment = runs.get(run_id).request.kind == "experiment"
    st.write(
        "The experiment ends, and its scores, its choice of learning rates and its tables are"
        " deleted. Cells that are finished stay as tuning runs on the Compare page."
        if experiment
        else "The run ends, and everything it made is deleted."
    )
    if st.button("Discard it", type="primary"):
        with sentences():
            runs.stop(runs.get(run_id), "discard")
        st.rerun()


def ended(run: runs.Run):
    """What a page says of a run that is over; nothing when it is simply done."""
    status = run.status()
    if status.state in ("failed", "lost"):
        st.error(
            f"This run {'failed' if status.state == 'failed' else 'was lost'}: {status.message}",
            icon=":material/error:",
        )
        with st.expander("End of its log"):
            st.code(run.log_tail(30) or "(empty)", language=None)
    elif status.state == "stopped":
        st.info(status.message or "The run was stopped.", icon=":material/stop_circle:")
