"""Setup: what it says of a model and a task."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ctsft import runs
from ctsft.data.task import Example
from explorer.session import inputs, recent, start_runs
from explorer.session.data_facts import aligned, balance, spread
from explorer.session.requests import competence_request, score_request
from explorer.session.view import View
from explorer.setup import accuracy
from explorer.setup.measured_accuracy import MeasuredAccuracy
from explorer.text.markdown import literal, short
from support.pages import charts
from support.setup_page import errors, opened
from support.tasks import LABELS, cued, write_csv, write_task


def test_facts_and_accuracy_with_its_error(shown):
    assert errors(shown) == []
    values = {metric.label: metric.value for metric in shown.metric}
    assert values["Heads"] == "12" and values["Key/value groups"] == "2"
    assert values[":blue[●] Accuracy in indonesian (source)"] == "1.00 ± 0.00"
    assert values[":orange[●] Accuracy in javanese (target)"] == "0.00 ± 0.00"
    assert any("24 test rows; guessing reaches 0.33" in caption.value for caption in shown.caption)
    assert not shown.warning
    assert not next(button for button in shown.button if button.label == "Score heads").disabled


def test_confusion_balance_lengths_and_cost(shown, known):
    maps = [chart["data"][0] for chart in charts(shown) if chart["data"][0]["type"] == "heatmap"]
    right = 8 * np.eye(3, dtype=int)
    assert np.array_equal(maps[0]["customdata"], right) and np.array_equal(
        maps[1]["customdata"], right[[2, 0, 1]]
    )
    bars = next(
        chart["data"] for chart in charts(shown) if chart["data"][0].get("orientation") == "h"
    )
    assert [bar["x"] for bar in bars] == [[8, 8]] * 3 and bars[0]["y"] == ["indonesian", "javanese"]
    lines = next(
        chart["data"]
        for chart in charts(shown)
        if chart["data"][0].get("line", {}).get("shape") == "hvh"
    )
    assert len(lines) == 2 and sum(lines[0]["y"]) == pytest.approx(1)
    assert any(
        "Scoring would take" in caption.value and "memory" in caption.value
        for caption in shown.caption
    )


def test_what_was_opened_is_offered_again(shown, folders, files):
    assert recent.listed("models") == [str(folders["qwen2"])] and recent.listed("tasks") == [
        str(files)
    ]
    recent.remember("models", "demo")
    # it is in front again now, demo second
    shown.run()
    shown.selectbox(key="recent_models").set_value("demo").run()
    assert errors(shown) == [] and (
        shown.session_state["view"].model,
        shown.radio(key="w_model_kind").value,
    ) == ("demo", "bundled")
    shown.selectbox(key="recent_models").set_value(str(folders["qwen2"])).run()
    assert (
        shown.session_state["view"].model
        == str(folders["qwen2"])
        == shown.text_input(key="w_folder").value
    )


def test_prompt_and_its_label_tokens(shown, known):
    pieces = shown.code[0].value.split("│")
    assert "".join(pieces) == f"{known[0].text} | sentiment:"
    assert any(
        "negative" in caption.value and f"{len(pieces)} tokens" in caption.value
        for caption in shown.caption
    )


def test_rows_of_both_languages_stand_side_by_side_only_when_they_are_translations(
    shown, files, known
):
    # their labels differ: not the same rows
    assert len(shown.table) == 2
    write_csv(
        files.parent / "javanese" / "train.csv",
        [replace(row, text=row.text.upper()) for row in known],
    )
    shown.run()
    assert (
        list(shown.table[0].value.columns) == ["id", "label", "indonesian", "javanese"]
        and len(shown.table) == 1
    )


def test_another_task_or_model_drops_hand_edits_and_takes_the_tasks_languages(shown, folders):
    view = shown.session_state["view"]
    view.added, view.head, view.past = frozenset({(0, 1)}), (0, 1), [{}]
    shown.radio(key="w_task_kind").set_value("demo").run()
    assert (view.task, view.source, view.target) == ("demo", "indonesian", "javanese")
    assert (view.added, view.head, view.past) == (frozenset(), None, [])
    view.added = frozenset({(0, 1)})
    shown.text_input(key="w_folder").input(str(folders["llama"])).run()
    assert view.model == str(folders["llama"]) and not view.added


def test_a_model_is_in_use_until_another_is_entered(shown, folders):
    shown.radio(key="w_model_kind").set_value("hub").run()
    assert errors(shown) == [] and shown.session_state["view"].model == str(folders["qwen2"])
    assert any("is still in use" in info.value for info in shown.info)


def test_a_guessing_model_is_told_and_tuned_first(folders, tmp_path, monkeypatch):
    path = write_task(
        tmp_path / "task",
        {
            (language, split): cued(30, 1)
            for language in ("indonesian", "javanese")
            for split in ("train", "test")
        },
    )
    view = {
        "model_kind": "folder",
        "folder": str(folders["llama"]),
        "model": str(folders["llama"]),
        "task_kind": "file",
        "task_file": str(path),
        "task": str(path),
        "target": "javanese",
    }
    started = []
    monkeypatch.setattr(
        start_runs,
        "start_competence",
        lambda view, epochs, lr: started.append((view.source, epochs, lr)),
    )
    app = opened(**view)
    assert errors(app) == [] and "hardly better than guessing" in app.warning[0].value
    app.number_input(key="competence_epochs").set_value(4).run()
    assert any(
        "Tuning would take" in caption.value and "4 passes over 24 rows" in caption.value
        for caption in app.caption
    )
    next(button for button in app.button if button.label == "Tune on indonesian").click().run()
    assert started == [("indonesian", 4, 5e-5)]
    with runs.record(competence_request(View(**view))) as run:
        run.event(kind="evaluation", step=3, accuracy={"indonesian": 0.75})
        run.file("model").mkdir()
        run.file("model/config.json").write_text(json.dumps({"model_type": "qwen2"}))
    app.run()
    assert "0.75" in app.success[0].value
    next(button for button in app.button if button.label == "Load the tuned model").click().run()
    assert (
        app.session_state["view"].model
        == str(run.file("model"))
        == app.text_input(key="w_folder").value
    )


def test_score_heads_starts_one_run_and_goes_on(shown, monkeypatch):
    started = []

    def start(view):
        with runs.record(score_request(view)) as run:
            started.append(run.id)
        return run

    monkeypatch.setattr(start_runs, "start_score", start)
    next(button for button in shown.button if button.label == "Score heads").click().run()
    assert errors(shown) == [] and len(started) == 1 and shown.header[0].value == "Relevance"
    shown.switch_page("setup/page.py").run()
    next(button for button in shown.button if button.label == "Score heads").click().run()
    assert errors(shown) == [] and len(started) == 1  # what is done is not done again


def test_near_chance_needs_two_errors_or_a_tenth():
    assert MeasuredAccuracy(0.42, 10000, 1 / 3).near_chance  # certain, but less than .1 above
    assert MeasuredAccuracy(0.60, 10, 1 / 3).near_chance  # .27 above, but the error is .15
    assert not MeasuredAccuracy(0.60, 120, 1 / 3).near_chance
    assert MeasuredAccuracy(0.5, 100, 1 / 3).error == pytest.approx(0.05)


def test_small_facts():
    a = [Example(str(i), f"t{i}", LABELS[i % 3]) for i in range(6)]
    assert [y.id for _, y in aligned(a, a[::-1])] == [row.id for row in a]
    assert aligned(a, [replace(row, id=f"x{row.id}") for row in a]) == []
    assert [row.id for row in spread([*a, *a[:3]], LABELS, 4)] == ["0", "1", "2", "3"]
    assert [row.label for row in spread(sorted(a, key=lambda row: row.label), LABELS, 3)] == [
        *LABELS
    ]
    assert balance(a[:4], LABELS) == ["negative 2 (50%)", "neutral 1 (25%)", "positive 1 (25%)"]
    assert literal("a *b*\n<c>") == r"a \*b\* \<c\>"
    assert short(2_310_144) == "2.31 M"


@pytest.mark.parametrize(
    ("limited", "name", "reason"),
    [
        (inputs, "SMALL", "The accuracy of a model of this size is measured only on request."),
        (accuracy, "MOST_ROWS", "The accuracy on 48 rows is measured only on request."),
    ],
)
def test_a_large_model_or_table_is_measured_only_on_request(
    shown, monkeypatch, limited, name, reason
):
    monkeypatch.setattr(limited, name, 10)
    assert reason in [caption.value for caption in shown.run().caption]
    assert not [metric for metric in shown.run().metric if "Accuracy" in metric.label]
    next(button for button in shown.button if button.label == "Measure accuracy").click().run()
    assert (
        errors(shown) == []
        and len([metric for metric in shown.metric if "Accuracy" in metric.label]) == 2
    )
    # and it is remembered
    assert len([metric for metric in shown.run().metric if "Accuracy" in metric.label]) == 2


def test_further_languages_are_measured_when_they_are_chosen(folders, tmp_path, known):
    rows = {
        ("indonesian", "train"): known,
        ("indonesian", "test"): known,
        ("javanese", "train"): known,
        ("javanese", "test"): known,
    }
    path = write_task(
        tmp_path / "task", rows | {("acehnese", split): known[:6] for split in ("train", "test")}
    )
    words = json.loads(path.read_text()) | {"targets": ["javanese", "acehnese"]}
    path.write_text(json.dumps(words))
    app = opened(
        model_kind="folder",
        folder=str(folders["qwen2"]),
        model=str(folders["qwen2"]),
        task_kind="file",
        task_file=str(path),
        task=str(path),
        target="javanese",
    )

    def maps() -> list[str]:
        return [
            chart["layout"]["title"]["text"]
            for chart in charts(app)
            if chart["data"][0]["type"] == "heatmap"
        ]

    assert maps() == [
        "indonesian: 1.00 ± 0.00, 24 test rows",
        "javanese: 1.00 ± 0.00, 24 test rows",
    ]
    app.button_group(key="w_accuracy_languages").set_value(["acehnese"]).run()
    assert errors(app) == [] and maps()[2:] == ["acehnese: 1.00 ± 0.00, 6 test rows"]
