"""Templates files: what a good one gives, and one sentence for each bad one."""

import json

import pytest

from ctsft.data.templates import Template, read_templates, template_tasks
from support.errors import said
from support.tasks import LABELS, PROMPT

GOOD = [
    {"name": "tail", "prompt": "{text} It was"},
    {"prompt": "Say: {text}", "labels": {"negative": "bad", "positive": "good"}},
    {"labels": {"neutral": "plain"}},
]


@pytest.fixture
def file(tmp_path):
    def write(content) -> str:
        path = tmp_path / "templates.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return write


def test_a_file_s_templates(file, task):
    templates = read_templates(file(GOOD))
    assert templates == (
        Template("tail", "{text} It was"),
        Template("Say: {text}", "Say: {text}", {"negative": "bad", "positive": "good"}),
        Template("template 3", None, {"neutral": "plain"}),
    )
    tasks = template_tasks(task, templates)
    assert [one.prompt for one in tasks.values()] == ["{text} It was", "Say: {text}", PROMPT]
    assert [one.labels for one in tasks.values()] == [
        LABELS,
        ("bad", "neutral", "good"),
        ("negative", "plain", "positive"),
    ]
    # rows keep their gold label under its new word
    assert tasks["Say: {text}"].rename["negative"] == "bad"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[", ("cannot be read", "not JSON")),
        ({"prompt": "{text}"}, ("cannot be used", "list of objects")),
        (["{text}"], ("cannot be used", "list of objects")),
        (GOOD[:2], ("2 templates", "3 to 50")),
        ([*GOOD, {"promt": "{text}"}], ("'3.promt' is not a known key",)),
        ([*GOOD, {"prompt": ""}], ("3.prompt", "not empty")),
        ([*GOOD, {"labels": ["bad"]}], ("3.labels",)),
        ([*GOOD, {"name": "tail"}], ("two templates", "'tail'")),
    ],
)
def test_a_bad_file_is_refused_in_a_sentence(file, content, words):
    said(lambda: read_templates(file(content)), *words)


def test_a_missing_file_is_refused(tmp_path):
    said(lambda: read_templates(tmp_path / "none.json"), "none.json", "check the path")


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (Template("x", "no column"), ("Template 'x'", "names no column")),
        (Template("x", "{other}"), ("Template 'x'", "'other'")),
        (Template("x", None, {"mixed": "so"}), ("Template 'x'", "'mixed'", "neutral")),
        (Template("x", None, {"negative": "positive"}), ("Template 'x'", "one of its own")),
        (Template("x"), ("'same'", "'x'", "same prompt and label words")),
    ],
)
def test_a_template_that_the_task_cannot_take_is_named(task, template, words):
    said(lambda: template_tasks(task, (Template("same", PROMPT), template)), *words)
