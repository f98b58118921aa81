"""A run measures further task files and the perplexity of texts; what it stores, and what it
refuses.
"""

import json
from pathlib import Path

import pytest

import ctsft
from ctsft.cli.summaries import finetune as summary_text
from ctsft.jobs import tuning_table
from ctsft.jobs.related_abilities import split_name
from support.errors import said
from support.jobs import done, finetune_request
from support.tasks import cued, write_task


@pytest.fixture
def topic(tmp_path) -> Path:
    """A task file with another prompt and other rows."""
    rows = {
        (language, split): cued(6, seed)
        for seed, language in enumerate(("english", "german"), 40)
        for split in ("valid", "test")
    }
    changes = {"name": "topic", "prompt": "{text} | topic:", "source": "english"}
    return write_task(tmp_path / "topic", rows, targets=["german"], **changes)


def test_related_tasks_and_perplexity_stand_in_the_result_and_the_events(subject, topic, home):
    related = (str(topic), f"{topic}:german")
    request = finetune_request(
        subject, what="full", n=9, related_tasks=related, perplexity=True, shares=True
    )
    run, summary = done(request)
    names = ["topic (english)", "topic (german)"]
    assert list(summary["final"]["after"]) == ["indonesian", "javanese", *names]
    model = ctsft.load_model(subject.model, "cpu")
    task, subject_task = ctsft.load_task(topic), ctsft.load_task(subject.task)
    texts = [row.text for row in subject_task.load("indonesian", "valid")]
    for when in ("before", "after"):
        for name, language in zip(names, ("english", "german"), strict=True):
            rows = task.load(language, "test")
            assert summary["final"][when][name]["accuracy"] == ctsft.accuracy(model, task, rows)
        expected = ctsft.perplexity(model, texts)
        assert summary["perplexity"][when] == pytest.approx(expected["perplexity"], rel=1e-6)
        if when == "before":
            ctsft.apply_delta(model, run.file("delta.safetensors"))
    events = [row for row in run.events() if row["kind"] == "evaluation"]
    assert all(list(row["accuracy"])[2:] == names for row in events)
    assert all(set(row["perplexity"]) == {"source texts"} for row in events)
    # shares are of the run's own task
    assert set(summary["shares"]["rows"]) == {"indonesian", "javanese"}
    (row,) = tuning_table.table_rows()
    final = summary["final"]
    assert row["related"] == {
        name: tuple(final[when][name]["accuracy"] for when in ("before", "after")) for name in names
    }
    assert row["perplexity_after"] == summary["perplexity"]["after"]
    text = summary_text(json.loads(json.dumps(summary)))
    assert "topic (german)" in text and "perplexity of source texts: " in text


def test_the_lines_of_a_text_file(subject, tmp_path, home):
    file = tmp_path / "some text.txt"
    file.write_text("the rice was cold\n\n  a new house  \n", encoding="utf-8")
    request = finetune_request(subject, what="norms", n=6, perplexity=True, text=str(file))
    _, summary = done(request)
    model = ctsft.load_model(subject.model, "cpu")
    before = ctsft.perplexity(model, ["the rice was cold", "a new house"])
    assert summary["perplexity"] | {"after": 1.0} == {
        "texts": file.name,
        "rows": 2,
        "tokens": before["tokens"],
        "before": before["perplexity"],
        "after": 1.0,
    }


def test_what_cannot_be_measured_is_refused_before_anything_is_trained(
    subject, topic, tmp_path, home
):
    def tried(**changes):
        return lambda: done(finetune_request(subject, what="full", n=6, **changes))

    said(tried(related_tasks=(f"{topic}:dutch",)), "no language 'dutch'")
    said(tried(related_tasks=(str(topic), f"{topic}:english")), "Two related tasks")
    said(tried(related_tasks=("nothing.json",)), "nothing.json")
    (topic.parent / "english" / "valid.csv").unlink()
    said(tried(related_tasks=(str(topic),)), "no valid rows for english")
    said(tried(perplexity=True, text=str(tmp_path / "none.txt")), "cannot be read")
    (tmp_path / "empty.txt").write_text(" \n")
    said(tried(perplexity=True, text=str(tmp_path / "empty.txt")), "is empty")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("topic.json", ("topic.json", None)),
        ("a folder/topic.json:german", ("a folder/topic.json", "german")),
        ("C:\\topic.json", ("C:\\topic.json", None)),
        ("xnli", ("xnli", None)),
        ("demo:javanese", ("demo", "javanese")),
    ],
)
def test_a_task_and_its_language(text, expected):
    assert split_name(text) == expected
