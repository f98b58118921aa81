"""The Fine-tune page, on run folders made here and a tiny model; nothing is trained."""

import pytest
from streamlit.testing.v1 import AppTest

import ctsft
from ctsft.jobs.command_line import shell_command
from ctsft.utils.units import bytes_text
from explorer.finetune import command as finetune_command
from explorer.finetune import trained_parameters
from explorer.session import circuit as session_circuit
from explorer.session import inputs, score_runs
from support.finetune_page import score, two_targets
from support.pages import button, spec, texts, visit

SUBJECT = ("model", "task", "data_dir", "language", "split", "device", "dtype")


def hovers(at: AppTest) -> dict:
    (cells,) = [trace for trace in spec(at)["data"] if trace.get("name") == "heads"]
    return {
        tuple(cell): text for cell, text in zip(cells["customdata"], cells["text"], strict=True)
    }


def test_without_scores_it_says_where_to_get_them_and_only_norms_and_everything_can_start(view):
    at = visit(view)
    assert not at.exception and "Score them on the Relevance page" in texts(at)
    assert button(at, "Start tuning").disabled and not at.get("plotly_chart")
    at.radio(key="w_what").set_value("full").run()
    total = inputs.load_model(view.model).n_params
    assert not button(
        at, "Start tuning"
    ).disabled and f"**{total:,}** of {total:,} parameters will be trained (100.00%)" in texts(at)


def test_related_tasks_and_texts_are_asked_for_under_the_advanced_settings(view):
    at = visit(view)
    assert not [one for one in at.text_input if one.key == "w_text_file"]
    at.toggle(key="w_perplexity").set_value(True)
    at.text_area(key="w_related_tasks").set_value("topic.json").run()
    at.text_input(key="w_text_file").set_value("words.txt").run()
    chosen = at.session_state.view
    asked = finetune_command.tuning(chosen, finetune_command.HeadSources(), None)
    assert not at.exception and asked.related_tasks == ("topic.json",)
    assert (asked.perplexity, asked.text) == (True, "words.txt")


def test_the_switch_and_what_holding_takes(view):
    """On for everything, off for parts; each keeps its own choice."""
    score(view)
    at = visit(view)
    assert not any("Holding the source" in one.value for one in at.caption)
    at.radio(key="w_what").set_value("full").run()
    total = inputs.load_model(view.model).n_params
    needed = bytes_text(8 * total)
    assert any(f"Holding the source takes {needed}" in one.value for one in at.caption)
    at.session_state["view"].hold_everything = "off"
    at.run()
    assert not any("Holding the source" in one.value for one in at.caption)
    at.session_state["view"].what = "circuit"
    at.session_state["view"].hold_part = "weak"
    at.run()
    assert any("Holding the source takes" in one.value for one in at.caption)
    assert any("--hold 0.9" in code.value for code in at.code) and not at.exception


def test_the_map_and_the_count_show_what_will_be_trained(view):
    score(view)
    at = visit(view)
    model = inputs.load_model(view.model)
    share = ctsft.trainable_count(model, {(2, 3), (0, 1)})
    assert f"**{share:,}** of {model.n_params:,} parameters will be trained" in texts(at)
    helps = " ".join(text.help for text in at.markdown if "will be trained" in text.value)
    assert "L0.H0, L2.H2" in helps, "heads of the same key/value groups are named"
    keys = [note["text"] for note in spec(at)["layout"]["annotations"]]
    assert "□ will be trained" in keys
    hover = hovers(at)
    assert (
        "will be trained: rank 1 by score" in hover[2, 3] and "will not be trained" in hover[1, 0]
    )
    assert len(at.radio(key="w_what").options) == 4, "a newcomer sees the four that matter first"
    at.toggle(key="w_every_way").set_value(True).run()
    at.radio(key="w_what").set_value("least").run()
    hover = hovers(at)
    assert (
        "will be trained: rank 1 from the bottom" in hover[1, 0]
        and "will not be trained" in hover[2, 3]
    )
    at.radio(key="w_what").set_value("norms").run()
    assert f"**{ctsft.trainable_count(model, ()):,}** of" in texts(at)


def test_start_asks_for_exactly_the_command_shown_and_settings_survive_the_page(view, started):
    scored = score(view)
    at = visit(view)
    at.number_input(key="w_n").set_value(12).run()
    at.number_input(key="w_lr").set_value(1e-3).run()
    file = session_circuit.write_circuit(ctsft.select(score_runs.scores_of(scored), "top", k=2))
    command = at.code[0].value
    button(at, "Start tuning").click().run()
    assert not at.exception
    (request,) = started
    assert command == shell_command(request)
    assert ctsft.Circuit.load(file).heads == {(2, 3), (0, 1)}
    assert (request.tuning.circuit, request.tuning.n) == (file, 12)
    assert (request.subject, request.config.learning_rate) == (view.subject, 1e-3)
    at.switch_page("circuit/page.py").run()
    at.switch_page("finetune/page.py").run()
    assert at.number_input(key="w_n").value == 12


@pytest.mark.parametrize("what", ["near_zero", "random", "full"])
def test_controls_take_as_many_heads_as_the_circuit_has(view, started, what):
    view.what, view.tune_seed = what, 777
    scored = score(view)
    at = visit(view)
    button(at, "Start tuning").click().run()
    (request,) = started
    scores_run = None if what == "full" else scored.id
    assert (request.tuning.what, request.tuning.scores) == (what, scores_run)
    assert what == "full" or request.tuning.k == 2
    assert request.scoring.seed == (777 if what == "random" else 0)
    scores = score_runs.scores_of(scored)
    moving = trained_parameters.heads(
        view, finetune_command.HeadSources(scored, scores, ctsft.select(scores, "top", k=2))
    )
    assert len(moving) == {"full": 12}.get(what, 2)


def test_a_setting_chosen_on_another_page_is_the_one_shown(view, tmp_path):
    view.task, view.target, view.n = two_targets(tmp_path), "english", 5
    at = visit(view)
    assert at.selectbox(key="w_target").value == "english" and at.number_input(key="w_n").value == 5
    at.selectbox(key="w_target").set_value("javanese").run()
    at.switch_page("setup/page.py").run()
    at.switch_page("finetune/page.py").run()
    assert at.selectbox(key="w_target").value == "javanese" == at.session_state["view"].target
