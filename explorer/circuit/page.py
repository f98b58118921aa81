"""Circuit: choose heads by rule and by hand, see what they would move, and how much of the task
they keep.
"""

import streamlit as st

from ctsft import runs
from ctsft.circuit.circuit import Circuit
from ctsft.plots import faithfulness as plots_faithfulness
from ctsft.plots import head_grid, score_maps
from ctsft.utils import format
from ctsft.utils.errors import UserError
from explorer.circuit import discovery, overlap, saved, table
from explorer.session import binding, errors, inputs, saved_circuits, score_runs, start_runs
from explorer.session import circuit as session_circuit
from explorer.text import circuit_words
from explorer.text.glossary import TERMS
from explorer.widgets import advice_notice, chart, head_inspector, run_progress, share_link
from explorer.widgets.share_link import PANELS


def draw():
    share_link.header("Circuit", TERMS["circuit"])
    st.write(
        "The circuit is the set of heads that fine-tuning will move. Choose a rule and its size,"
        " then click heads on the map to add or remove them by hand. Below the map, see whether it"
        " is enough."
    )
    model = inputs.model()
    scores, kind = score_runs.scores()
    if scores is None:
        # where it cannot be read, that is what is to be told
        inputs.task()
        run_progress.unscored("every rule chooses by score")
        return
    if kind == "preview":
        st.info(
            "These are preview scores by attribution patching. The circuit is chosen again by the"
            " same rule when the final scores arrive; hand edits stay.",
            icon=":material/hourglass_top:",
        )
        run_progress.watch(score_runs.score_run(start_runs.ACTIVE), savable=False)
    session_circuit.look_at_first(scores, model.heads)
    circuit, run = (
        session_circuit.circuit(scores),
        score_runs.score_run(("done",)) or score_runs.score_run(start_runs.ACTIVE),
    )
    outside = session_circuit.trained_with(model, circuit)
    save_and_load(model, scores, circuit)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        with st.container(horizontal=True, gap="medium"):
            # on a wide screen the counters stand at the map's right
            with st.container(width="content"):
                head_map(model, scores, circuit, kind)
            with st.container():
                counters(model, circuit, outside)
        every_head(scores, circuit, session_circuit.reasons(circuit, outside))
    with right:
        rule(scores)
        head_inspector.draw(scores, score_runs.means_of(run), model, circuit)
    st.subheader("Look closer", help="Is it enough: " + TERMS["faithfulness"])
    st.segmented_control(
        "Section",
        PANELS["circuit_panel"],
        required=True,
        wrap=True,
        label_visibility="collapsed",
        **binding.bind("circuit_panel"),
    )
    if binding.view().circuit_panel == "Kept circuits":
        saved.draw(model, scores)
    elif binding.view().circuit_panel == "Overlap":
        overlap.draw(model, scores, run, circuit)
    elif binding.view().circuit_panel == "Discovery":
        discovery.draw(model, circuit)
    else:
        faithfulness(circuit, kind, len(model.heads))
    st.page_link(
        "finetune/page.py", label="Next: tune this circuit", icon=":material/arrow_forward:"
    )


def head_map(model, scores, circuit: Circuit, kind: str):
    title = (
        f"Preview: attribution patching, {len(scores.examples)} examples"
        if kind == "preview"
        else ""
    )
    now = binding.view()
    fig = score_maps.head_map(
        scores, circuit, model=model, selected=now.head, flip=now.flip, title=title
    )
    # a new chart after each click: no selection is ever applied twice
    key = f"map-{st.session_state.setdefault('map_turn', 0)}"

    def clicked():
        # of a chart that is gone already
        late = key != f"map-{st.session_state.map_turn}"
        heads = () if late else head_grid.toggle(st.session_state[key].selection.points, ())
        for head in heads:
            session_circuit.click(head, scores)
        st.session_state.map_turn += bool(heads)

    chart.show(
        fig,
        key,
        name="circuit",
        width="content",
        on_select=clicked,
        selection_mode="points",
        config={"displaylogo": False},
    )
    st.toggle("Layer 0 at the bottom", **binding.bind("flip"))


def rule(scores):
    now, n_heads = binding.view(), scores.values.numel()
    rules = circuit_words.RULES | (
        circuit_words.DISCOVERED if now.discovered or now.rule == "discover" else {}
    )
    st.segmented_control(
        "Rule",
        list(rules),
        format_func=lambda name: rules[name][0],
        required=True,
        wrap=True,
        **binding.bind("rule"),
        help=TERMS["rule"],
    )
    st.caption(rules[now.rule][1], help=TERMS[now.rule])
    if now.k > n_heads:
        binding.put(k=n_heads)
    if now.rule == "advised":
        advice_notice.draw()
    if now.rule in ("top", "advised", "near_zero", "least", "random"):
        st.slider(
            f"Heads (k), of {n_heads}",
            0,
            n_heads,
            **binding.bind("k"),
            help="How many heads the rule takes.",
        )
    if now.rule == "threshold":
        st.slider(
            f"Score of at least {format.number(session_circuit.threshold(scores))}",
            0.0,
            1.0,
            step=0.005,
            **binding.bind("threshold_level"),
            help=TERMS["threshold"],
        )
    if now.rule == "fraction":
        st.slider(
            f"Share of the {n_heads} heads",
            0.01,
            1.0,
            step=0.01,
            format="percent",
            **binding.bind("fraction"),
            help=TERMS["fraction"],
        )
    if now.rule == "random":
        st.number_input(
            "Seed", 0, circuit_words.MOST_SEEDS, **binding.bind("random_seed"), help=TERMS["seed"]
        )
    with st.container(horizontal=True):
        st.button(
            "Undo",
            icon=":material/undo:",
            on_click=binding.undo,
            disabled=not now.past,
            shortcut="Mod+Z",
            help="Take back the last change of the rule or of a head.",
        )
        st.button(
            "Redo",
            icon=":material/redo:",
            on_click=binding.redo,
            disabled=not now.future,
            shortcut="Mod+Y",
            help="Do again what was undone last.",
        )
        st.button(
            "Clear hand edits",
            icon=":material/ink_eraser:",
            on_click=session_circuit.clear_edits,
            disabled=not now.added | now.removed,
            help="Back to what the rule alone chooses.",
        )


def counters(model, circuit: Circuit, outside: dict):
    count = session_circuit.trainable_counts(binding.view().model, tuple(sorted(circuit.heads)))
    heads, moves = st.columns(2)
    heads.metric(
        "Heads",
        f"{len(circuit)} of {len(model.heads)}",
        help="Attention heads in the circuit, of all that the model has.",
    )
    moves.metric(
        "Would move",
        f"{count['group'] / count['total']:.2%}",
        help=(
            "Share of the model's parameters that fine-tuning would change: the heads' query, key,"
            " value and output numbers, and every norm's. All others stay bit-identical. Counted"
            " as the paper does, with key/value rows of its own for every head (CT-SFT, arXiv"
            f" 2601.08146): {count['expand'] / count['total']:.2%}."
        ),
    )
    st.caption(
        f"{count['group']:,} of {count['total']:,} parameters would move, norms included. "
        + circuit_words.by_hand(circuit)
    )
    if outside:
        names = [format.head_name(head) for head in outside]
        st.caption(
            f"{len(names)} other {'head is' if len(names) == 1 else 'heads are'} touched, because"
            f" key/value rows are shared by groups of {model.n_heads // model.n_kv_heads} heads:"
            f" {', '.join(names[:24])}{' ...' if len(names) > 24 else ''}.",
            help=TERMS["kv"],
        )


def every_head(scores, circuit: Circuit, why: dict):
    heads, turn = table.order(scores), st.session_state.setdefault("table_turn", 0)
    name = f"heads-{hash(tuple(heads)):x}"
    edits = st.session_state.get(f"{name}-{turn}", {}).get("edited_rows", {})
    if table.edited(edits, heads, circuit):
        # changed elsewhere since: forget the checkboxes
        turn = st.session_state.table_turn = turn + 1
    key = f"{name}-{turn}"

    def checked():
        for head in table.edited(st.session_state[key]["edited_rows"], heads, circuit):
            session_circuit.click(head, scores)

    number, text, box = (
        st.column_config.NumberColumn,
        st.column_config.TextColumn,
        st.column_config.CheckboxColumn,
    )
    st.data_editor(
        table.table(scores, circuit, why),
        key=key,
        on_change=checked,
        hide_index=True,
        height=480,
        disabled=list(table.COLUMNS[1:]),
        alt=(
            "All heads by falling score, with a checkbox that puts a head into the circuit or takes"
            " it out."
        ),
        column_config={
            "in circuit": box(
                "in", width=60, help="In the circuit. A tick works like a click on the map."
            ),
            "why": text(
                help=(
                    "How it came in. K/V shared: outside, but its key/value rows move with a head"
                    " inside."
                )
            ),
            "layer": number(width=50, help="Layer of the head; 0 reads the text first."),
            "head": number(width=50, help="Number of the head in its layer."),
            "rank": number(width=50, help="Place by score; 1 is the highest."),
            "score": number(
                format="%.3f",
                width=65,
                help="In logits, mean over the examples. " + TERMS["relevance"],
            ),
            "s.e.": number("±", format="%.3f", width=60, help="Standard error of the mean."),
        },
    )


def save_and_load(model, scores, circuit: Circuit):
    def loaded():
        file = st.session_state.circuit_file
        if file is not None:
            try:
                found = Circuit.parse(file.getvalue().decode(errors="replace"), file.name).check(
                    model
                )
                st.session_state.loaded = session_circuit.adopt(found, scores), True
            except UserError as error:
                st.session_state.loaded = str(error), False

    with st.expander("Keep, save or load the circuit"):
        save, load = st.columns(2)
        save.text_input("Name", max_chars=saved_circuits.LONGEST, **binding.bind("file_name"))
        buttons = save.container(horizontal=True)
        buttons.button(
            "Keep this circuit",
            icon=":material/bookmark_add:",
            on_click=saved.keep,
            args=(circuit,),
            help="Under this name, in this explorer; see Kept circuits below the map.",
        )
        buttons.download_button(
            "Save circuit",
            lambda: session_circuit.file_text(circuit),
            session_circuit.file_name(binding.view().file_name),
            "application/json",
            icon=":material/download:",
            on_click="ignore",
            help=(
                "JSON with the heads, why each is in, and the rule. "
                "`python -m ctsft finetune --circuit FILE` takes it too."
            ),
        )
        load.file_uploader(
            "Load a circuit (JSON)", type="json", key="circuit_file", on_change=loaded
        )
        if "loaded" in st.session_state:
            text, good = st.session_state.pop("loaded")
            (st.success if good else st.error)(text)


def faithfulness(circuit: Circuit, kind: str, n_heads: int):
    now, scored = binding.view(), score_runs.score_run(("done",))
    st.markdown(
        "Every head outside a circuit gives its mean instead of its own output. A faithfulness of 1"
        " keeps all that the full model can do, 0 no more than a model without any of its heads;"
        " the ranking has found something where its line runs above the band of random circuits.",
        help=TERMS["faithfulness"],
    )
    if kind == "preview":
        st.info(
            "This is measured with the final scores; it can start when they are there.",
            icon=":material/hourglass_top:",
        )
        return
    run = score_runs.find_run("faithfulness", scores=scored.id)
    active = run is not None and run.status().active
    with st.expander("Settings"):
        st.number_input(
            "Random circuits of each size",
            1,
            200,
            **binding.bind("n_random"),
            help="More make the band steadier and the run longer.",
        )
    if st.button("Measure faithfulness against size", type="primary", disabled=active):
        start_runs.start_curve(now, scored, now.n_random)
        st.rerun()
    if run:
        run_progress.watch(run)
        errors.fragment(curve, run_every=1.5 if active else None)(run.id, len(circuit), n_heads)


def curve(run_id: str, size: int, n_heads: int):
    try:
        run = runs.get(run_id)
    except UserError:  # discarded
        return
    rows, now = plots_faithfulness.curve_rows(run.events()), binding.view()
    if not rows:
        return
    st.segmented_control(
        "By",
        list(plots_faithfulness.MEASURES),
        format_func=plots_faithfulness.MEASURES.get,
        required=True,
        **binding.bind("measure"),
        help=TERMS["measure"],
    )
    if not plots_faithfulness.is_defined(rows, now.measure):
        st.info(plots_faithfulness.UNDEFINED, icon=":material/info:")
        return
    fig = plots_faithfulness.size_curve(rows, now.measure, size, n_heads)
    chart.show(fig, "faithfulness")
    st.caption(plots_faithfulness.curve_sentence(rows, now.measure, size, n_heads))


draw()
