"""Templates on Relevance: the text is checked like a file of someone else, the comparison is asked
for as by the shell, and its run is found again with its text.
"""

import json
from dataclasses import replace

import pytest

from ctsft import runs
from ctsft.circuit.checks import TemplateChecks
from ctsft.circuit.template_effects import default_languages
from ctsft.data.registry import load_task
from ctsft.data.templates import Template, template_tasks
from ctsft.jobs.command_line import arguments
from ctsft.model.evaluation import predict
from explorer.session import binding, inputs, requests, template_answers, template_text
from support.pages import button, charts, press, receipts, shown, texts, widget
from support.relevance_page import opened, scored
from support.shell import parsed

START = "Compare the templates"
MINE = [
    {"name": "mine"},
    {"name": "words", "labels": {"negative": "bad", "positive": "good"}},
    {"name": "asked", "prompt": "{text} What is it?"},
]

TEMPLATES = tuple(Template(one["name"], one.get("prompt"), one.get("labels", {})) for one in MINE)


@pytest.fixture
def right(monkeypatch):
    """How many texts of a label the model answers right, by language."""
    right = {"indonesian": 10, "javanese": 10}
    monkeypatch.setattr(template_answers, "fewest", lambda *_: right)
    return right


@pytest.fixture
def page(view, right):
    """Of a scored model, with the section of templates beside the map."""
    scored(view)
    view.comparison = "Templates"
    return lambda: opened(replace(view), "Compare")


def area(app):
    return widget(app.text_area, "Templates")


def test_the_example_fits_the_task_and_is_asked_for_as_by_the_shell(page, view, started):
    app = page()
    task = load_task(view.task)
    assert area(app).value == template_text.example(task)
    assert json.loads(area(app).value)[0]["prompt"] == task.prompt
    assert "Comparing would take" in texts(app) and "36 head maps" in texts(app)
    press(app, START)
    (request,) = started
    assert parsed(arguments(request)) == request and request.only_templates
    checks = request.templates
    assert [one.name for one in checks.templates] == ["of the task", "other word", "in front"]
    assert (checks.languages, checks.size) == (default_languages(task, view.split), 30)


def test_what_the_model_answers_decides_what_is_proposed_and_what_may_start(page, right, started):
    right |= {"indonesian": 4, "javanese": 1}
    app = page()
    languages, size = app.multiselect[0], widget(app.number_input, "Texts of a discovery set")
    assert (languages.value, size.value) == (["indonesian"], 12) and not app.error
    shown(size.set_value(13).run())
    assert "only 4 texts of a label right in a pool of indonesian" in app.error[0].value
    assert button(app, START).disabled
    shown(widget(app.number_input, "Texts of a discovery set").set_value(12).run())
    shown(app.multiselect[0].set_value(["indonesian", "javanese"]).run())
    assert "only 1 texts of a label right in a pool of javanese" in app.error[0].value
    shown(app.multiselect[0].set_value(["indonesian"]).run())
    assert "12 head maps (3 templates × 1 language × 2 pools × 2 seeds)" in texts(
        shown(widget(app.number_input, "Pools").set_value(2).run())
    )
    press(app, START)
    assert started[0].templates.languages == ("indonesian",) and started[0].templates.size == 12


def test_right_answers_are_those_of_the_worst_label_template_and_pool(view, loaded, monkeypatch):
    monkeypatch.setattr(binding, "view", lambda: view)
    model, task = loaded["qwen2"], load_task(view.task)
    counts = []
    for one in template_tasks(task, TEMPLATES).values():
        rows = one.pools(one.load("javanese", view.split))[0]
        said = predict(model, one, rows)
        counts += [
            sum(row.label == label == answer for row, answer in zip(rows, said, strict=True))
            for label in one.labels
        ]
    fewest = template_answers.fewest(model, task, TEMPLATES, 1)
    assert fewest["javanese"] == min(counts) and set(fewest) == set(task.languages)
    monkeypatch.setattr(inputs, "SMALL", 0)
    assert template_answers.fewest(model, task, TEMPLATES, 1) is None
    assert template_answers.proposed(task, view.split, None)[1] == TemplateChecks.size


def test_a_file_is_taken_over_and_outlives_the_session(page, started):
    app = page()
    content = json.dumps(MINE).encode()
    shown(app.file_uploader(key="templates_file").set_value(("x.json", content, "")).run())
    assert json.loads(area(app).value) == MINE
    again = page()
    assert json.loads(area(again).value) == MINE
    press(again, START)
    (request,) = started
    assert request.templates.templates[1].words == {"negative": "bad", "positive": "good"}
    assert parsed(arguments(request)) == request
    press(again, "Example")
    assert json.loads(area(again).value)[0]["name"] == "of the task"


@pytest.mark.parametrize(
    "text, words",
    [
        ("[{", ("cannot be read",)),
        ("{}", ("cannot be used", "list")),
        (json.dumps(MINE[:2]), ("2 templates", "3 to 50")),
        (json.dumps([*MINE, {"name": "mine"}]), ("two templates", "'mine'")),
        (json.dumps([*MINE, {"name": "x", "prompt": "{nobody}"}]), ("'x'", "'nobody'")),
        (json.dumps([*MINE, {"name": "x", "labels": {"unheard": "so"}}]), ("'x'", "'unheard'")),
        (json.dumps([*MINE, {"name": "<b>*x*", "labels": {"positive": "good bad"}}]), ("token",)),
        (" " * 200_000, ("200,000 characters", "100,000")),
    ],
)
def test_a_text_that_cannot_be_used_is_one_sentence_and_starts_nothing(page, started, text, words):
    app = page()
    shown(area(app).set_value(text).run())
    said = [one.value for one in app.error]
    assert len(set(said)) == 1 and all(word in said[0].replace("\\", "") for word in words), said
    assert button(app, START).disabled and not started


def test_a_file_that_is_no_text_is_refused(page):
    app = page()
    before = area(app).value
    shown(app.file_uploader(key="templates_file").set_value(("x.json", b"\xff\xfe\x00", "")).run())
    assert "not text in UTF-8" in app.error[0].value and area(app).value == before


def area_of(value):
    return {"value": value, "low": value - 0.02, "high": value + 0.03}


REPORT = {
    "method": "atp",
    "size": 30,
    "k": 1,
    "n_heads": 12,
    "chance": 0.083,
    "templates": [{"name": one["name"]} for one in MINE],
    "languages": ["indonesian", "javanese"],
    "pools": 2,
    "seeds": 2,
    "shares": {"same": area_of(0.62), "template": area_of(0.2), "rest": area_of(0.18)},
    "overlap": {
        "template": {
            "jaccard": 0.5,
            "above": 0.417,
            "low": None,
            "high": None,
            "pairs": 3,
            "texts": 0.4,
        }
    },
}


def test_a_run_is_found_again_with_its_figure_its_text_and_its_settings(page, view):
    checks = TemplateChecks(TEMPLATES, ("indonesian", "javanese"), 2, 2, "atp", 30)
    with runs.record(requests.templates_request(view, checks, "x.json")) as run:
        run.file("result.json").write_text(json.dumps({"templates": REPORT}))
    app = page()
    said = texts(app)
    assert "62% of the variance of head scores is the same in all maps" in said
    assert "template matters most (20%)" in said and "3 templates, 2 languages" in said
    figures = [one["data"] for one in charts(app)]
    (bars,) = [of for of in figures if {trace["type"] for trace in of} == {"bar"} and len(of) == 2]
    assert (bars[0]["x"], bars[1]["x"]) == ([0.62, 0.2, 0.18], [0.417])
    assert any("minus chance" in one.value.columns for one in app.dataframe)
    assert "--only-templates" in receipts(app)
    assert json.loads(area(app).value) == MINE
    assert (widget(app.selectbox, "Ranking").value, widget(app.number_input, "Pools").value) == (
        "atp",
        2,
    )
    other = opened(replace(view, comparison="Validation"), "Compare")
    assert "same in all maps" not in texts(other) and button(other, "Validate the scores")


def test_an_example_differs_from_the_task_s_own_prompt():
    task = load_task("demo")
    for prompt in (task.prompt, "{text} | answer:", "sentiment of {text} |:"):
        entries = json.loads(template_text.example(replace(task, prompt=prompt)))
        assert len({entry["prompt"] for entry in entries}) == len(entries) == 3
