"""Inputs that Setup cannot use: each is one sentence, and can be corrected on the page."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from support.checkpoints import copied, end_appended, filled, prefixed, without
from support.setup_page import errors, opened


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"model": "/nowhere/at/all"}, "There is no model folder"),
        ({"task": "/nowhere/task.json"}, "does not exist"),
        ({"data_dir": "/nowhere"}, "The data folder '/nowhere' does not exist"),
    ],
)
def test_a_wrong_input_is_one_sentence_and_can_be_corrected(shown, wrong, says):
    (field,) = wrong
    key = {"model": "w_folder", "task": "w_task_file"}.get(field, f"w_{field}")
    right = shown.text_input(key=key).value
    shown.text_input(key=key).input(wrong[field]).run()
    assert len(errors(shown)) == 1 and says in errors(shown)[0]
    assert next(button for button in shown.button if button.label == "Score heads").disabled
    assert shown.radio(key="w_model_kind") and shown.radio(key="w_task_kind")
    shown.text_input(key=key).input(right).run()
    assert errors(shown) == []
    assert shown.selectbox(key="w_source").value == "indonesian"


def test_a_missing_file_of_one_language_leaves_the_other(shown, files):
    for path in (files.parent / "javanese").glob("*.csv"):
        path.unlink()
    shown.run()
    assert errors(shown) and all("javanese" in error for error in errors(shown))
    assert any("indonesian (source)" in metric.label for metric in shown.metric)
    assert not next(button for button in shown.button if button.label == "Score heads").disabled


def test_a_label_of_two_tokens_is_named(shown, files, tmp_path):
    words = json.loads(files.read_text()) | {"labels": ["negative", "neutral", "unlikely"]}
    other = files.with_name("other.json")
    other.write_text(json.dumps(words))
    shown.text_input(key="w_task_file").input(str(other)).run()
    assert any("'unlikely'" in error and "ONE" in error for error in errors(shown))
    assert next(button for button in shown.button if button.label == "Score heads").disabled


def test_a_name_the_hub_does_not_know(shown, folders):
    shown.radio(key="w_model_kind").set_value("hub").run()
    shown.text_input(key="w_hub").input("nobody/nothing").run()
    assert len(errors(shown)) == 1 and "nobody/nothing" in errors(shown)[0]
    # the data is still there
    assert any("indonesian" in caption.value for caption in shown.caption)
    shown.radio(key="w_model_kind").set_value("folder").run()
    assert errors(shown) == [] and shown.session_state["view"].model == str(folders["qwen2"])


def on_folder(folder, files) -> AppTest:
    return opened(
        model_kind="folder",
        folder=str(folder),
        model=str(folder),
        task_kind="file",
        task_file=str(files),
        task=str(files),
        target="javanese",
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("k_proj"), ["lack 6 of the", "k_proj"]),
        (without("lm_head"), ["without the head", "lm_head.weight"]),
        (filled("model.norm.weight", float("inf")), ["NaN or infinite", "model.norm.weight"]),
    ],
    ids=["projection", "head", "infinite"],
)
def test_a_damaged_checkpoint_is_one_sentence(folders, files, tmp_path, change, words):
    app = on_folder(copied(folders["qwen2"], tmp_path / "damaged", change), files)
    shown = errors(app)
    assert shown and all(word in shown[0] for word in words)
    assert next(button for button in app.button if button.label == "Score heads").disabled


def test_what_was_not_used_and_how_a_prompt_ends_is_said(folders, files, tmp_path, shown):
    assert not shown.warning  # control
    entries = json.loads(files.read_text())
    files.write_text(json.dumps(entries | {"prompt": entries["prompt"] + " "}))
    folder = end_appended(copied(folders["qwen2"], tmp_path / "model", prefixed("module.")))
    app = on_folder(folder, files)
    assert errors(app) == []
    notes = [warning.value for warning in app.warning]
    for words in ("the prefix was removed", "is dropped", "Remove the space"):
        assert sum(words in note for note in notes) == 1, notes
