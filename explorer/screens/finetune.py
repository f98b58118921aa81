"""Fine-tune: choose what may move, start the run, watch both languages, read the outcome."""
import time

import streamlit as st

import ctsft
from ctsft import results, runs
from ctsft.checkpoints import newest_checkpoint
from ctsft.circuit import Circuit
from ctsft.errors import UserError
from explorer import curves, jobs, outcomes, panels, plots, state

RUN = "tune_run"                                       # the widget that says which run is shown


def head_map(scores, moving):
    """The map of every page, with what would move outlined."""
    fig = panels.score_map(scores, moving, state.model(), flip=state.view().flip)
    fig.update_annotations(selector={"name": "key"}, text="□ would move" if moving.heads else "no head would move, only the norms")
    fig.for_each_trace(lambda trace: trace.update(text=[would(text) for text in trace.text]), selector={"name": "heads"})
    st.plotly_chart(fig, key="tune_map", width="content", alt=would(plots.alt(fig)), config={"displayModeBar": False})


def would(text: str) -> str:
    return text.replace("not in the circuit", "would not move").replace("in the circuit", "would move")


def numbers(model, choice):
    """How many numbers would move."""
    everything = state.view().what == "full"
    count = model.n_params if everything else ctsft.trainable(model, choice.heads if choice else ())
    st.markdown(f"**{count:,} of {model.n_params:,} numbers would move ({count / model.n_params:.2%}).**")
    others = [] if everything or not choice else sorted(ctsft.touched(model, choice.heads))
    if others:
        st.caption(f"Keys and values are shared in groups of heads, so those of {', '.join(map(plots.name, others[:8]))}"
                   f"{' and more' if len(others) > 8 else ''} move too.")


def settings(task, k: int) -> str:
    """The widgets of the run's settings; the name given to the run."""
    now = state.view()
    targets = [language for language in task.languages if language != now.source]
    if now.target not in targets:
        state.put(target=targets[0])
    train = len(state.rows(now.target, now.split))
    if not 1 <= now.n <= train:
        state.put(n=train)
    st.radio("What moves", list(outcomes.WHAT), format_func=lambda what: outcomes.WHAT[what][0], captions=[
        sentence.format(k=k) for _, sentence in outcomes.WHAT.values()], **state.bind("what"),
        help="CT-SFT (arXiv 2601.08146) moves a circuit's query, key, value and output slices and every norm; all else stays bit-identical. "
             "The paper reports the better of circuit and near-zero heads, so run both. The controls take as many heads as the circuit has.")
    left, right = st.columns(2)
    left.selectbox("Target language", targets, format_func=lambda name: name.replace("_", " ").capitalize(), **state.bind("target"))
    right.number_input("Labelled examples", 1, train, step=5, **state.bind("n"),
                       help=f"Rows of the target language to tune on, of {train}; equal numbers a label, drawn with the seed. The paper: 25 to 100.")
    with st.expander("Training settings"):
        one, two = st.columns(2)
        one.number_input("Epochs", 1, 200, **state.bind("epochs"), help="Passes over the examples. The paper: 5.")
        two.number_input("Learning rate", 1e-7, 1.0, step=1e-4, format="%.1e", **state.bind("lr"),
                         help="Falls linearly to 0. The paper: 5e-5 for a model of 0.5 B parameters; the small bundled one needs more.")
        one.number_input("Batch (rows a step)", 1, 512, **state.bind("batch"))
        two.number_input("Seed", 0, 2**31 - 1, **state.bind("tune_seed"),
                         help="Draws the examples, their order, and the random heads. The paper: 31, 777, 2025, 12345.")
        return st.text_input("Name of the run (optional)", key="tune_name")


def label(run) -> str:
    tuning, config = run.request.params.get("tuning", {}), run.request.params.get("config", {})
    what = run.request.name or outcomes.WHAT.get(tuning.get("what"), ("Tuning",))[0]
    begun = time.strftime("%d %b %H:%M", time.localtime(run.request.created))
    settings = [f"n={tuning.get('n')}", f"lr {config.get('learning_rate', 0):g}", f"seed {config.get('seed')}"]
    return " · ".join([what, str(tuning.get("target")), *settings, run.status().state, begun, run.id[-4:]])


def draw_curves(run_id: str):
    """Both accuracies so far; the figure is made anew only when rows arrived, because a new one loses the zoom."""
    try:
        run = runs.get(run_id)
    except UserError:                                  # discarded
        return
    count = len(run.events())
    if st.session_state.get("tune_curves", ())[:2] != (run_id, count):
        rows, target = results.evaluations(run), run.request.params.get("tuning", {}).get("target")
        fig = None
        if rows:
            roles = {name: "target" if name == target else "source" for name in rows[0]["accuracy"]}
            fig = curves.accuracy_curves(outcomes.flat(rows), roles, rows[0]["accuracy"], total_steps=rows[0]["steps"],
                                         chance=1 / len(state.task().labels))
        st.session_state.tune_curves = (run_id, count, fig)
    fig = st.session_state.tune_curves[2]
    if fig:
        st.plotly_chart(fig, key=f"curves-{run_id}", alt=plots.alt(fig))
    else:
        st.caption("The curves begin with the accuracy before tuning, which is measured first.")


def after(run):
    """What came of a run that is over, and what to do with it."""
    row = results.compare_row(run)
    if row and row["state"] in outcomes.ENDED:
        st.markdown(outcomes.outcome(row, outcomes.measured_on(run), run.request.params["tuning"].get("eval_split", "test")))
    left, right = st.columns(2)
    if run.status().state != "done" and newest_checkpoint(run.file("checkpoints")):
        if left.button("Resume", help="Goes on from the newest checkpoint, in the same run.", icon=":material/resume:"):
            runs.resume(run)
            st.rerun()
    elif row and row["what"] != "full" and left.button("Run the same with everything moving", icon=":material/compare_arrows:", help=(
            "Ordinary fine-tuning with the same rows and settings: only beside it does one see what moving little saves and costs.")):
        show(jobs.start_everything(run))


def show(run):
    """Come back to the page with this run in view."""
    st.session_state.tune_next = run.id
    st.rerun()


def start(scored, circuit, choice, name: str):
    """The primary button, the same in the shell's words, and what else is going on."""
    now = state.view()
    ready = bool(choice) or now.what in ("norms", "full")
    if not ready and circuit is None:
        st.info("The heads are not scored yet with these settings: score them on the Relevance page, or move only the norms, or everything.",
                icon=":material/grid_on:")
    elif not ready:
        st.info("The circuit has no heads: choose some on the Circuit page, or move only the norms.", icon=":material/hub:")
    else:
        numbers(state.model(), choice)
    if st.button("Start tuning", type="primary", disabled=not ready, icon=":material/play_arrow:"):
        show(jobs.start_tune(now, scored, circuit, name))
    active = sum(run.status().active for run in runs.list_runs())
    if active:
        st.caption(f"{active} {'run is' if active == 1 else 'runs are'} going on; another one waits for its turn on this machine.")
    if ready:
        file = jobs.keep_circuit(circuit) if now.what == "circuit" else None
        words = jobs.tune_words(now, scored, file, len(circuit or ()), name)
        with st.expander("The same from the shell"):
            st.code(runs.shell_command(runs.Request(argv=words)), language="shell", wrap_lines=True)


def history():
    """One of the tuning runs of this model and task: live, or what came of it."""
    mine = {run.id: label(run) for run in jobs.tuning_runs(state.view())}
    if not mine:
        return
    st.divider()
    chosen = st.session_state.pop("tune_next", st.session_state.get(RUN))
    st.session_state[RUN] = chosen if chosen in mine else next(iter(mine))
    run = runs.get(st.selectbox("Run", list(mine), format_func=mine.get, key=RUN, help="Tuning runs of this model and task, newest first."))
    if run.status().active:
        jobs.watch(run)
        st.fragment(draw_curves, run_every=1.0)(run.id)
    else:
        jobs.ended(run)
        draw_curves(run.id)
        after(run)


def page():
    st.header("Fine-tune")
    st.write("Tune the chosen heads on a few labelled examples of another language, and watch what that does to the language the model knows "
             "already. Choose what may move and start; then run a control, since a result means something only beside another.")
    task, scored = state.task(), state.score_run(("done",))
    scores = state.scores_of(scored)
    circuit = state.circuit(scores) if scores else None
    left, right = st.columns([3, 2], gap="medium")
    with right:
        name = settings(task, len(circuit or ()))
    with left:
        choice = jobs.would_move(state.view(), scores, circuit)
        if scores:
            head_map(scores, choice or Circuit(frozenset()))
        start(scored, circuit, choice, name)
    history()
    st.page_link("screens/compare.py", label="Next: compare the runs", icon=":material/arrow_forward:")


with state.sentences():
    page()
