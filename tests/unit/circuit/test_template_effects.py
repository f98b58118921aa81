"""Circuits over templates and languages on a tiny model: each map is that of scoring by hand, and
what was not varied has no effect. The discovery sets are drawn without asking the model, which has
no answers of its own to other prompts.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from ctsft import load_task, runs
from ctsft.attribution.means import label_balanced_means
from ctsft.attribution.score_heads import score_heads
from ctsft.circuit import template_effects
from ctsft.circuit.checks import TemplateChecks
from ctsft.circuit.template_effects import compare_templates
from ctsft.circuit.template_report import finding
from ctsft.data.task import balanced_sample
from ctsft.data.templates import Template
from ctsft.utils.format import head_name
from support.errors import said
from support.shell import bad
from support.tasks import agreed, cued, write_task

TEMPLATES = (
    Template("own"),
    Template("tail", "{text} is"),
    Template("words", None, {"negative": "bad", "neutral": "plain", "positive": "good"}),
)
SMALL = TemplateChecks(TEMPLATES, pools=2, seeds=2, method="atp", size=6)


@pytest.fixture(scope="module")
def file(loaded, task, tmp_path_factory):
    """A task whose second language has the same texts."""
    rows = agreed(loaded["qwen2"], task, each=16)
    files = {(name, "train"): rows for name in ("indonesian", "javanese")}
    files |= {("indonesian", "valid"): rows[:6]}
    return write_task(tmp_path_factory.mktemp("templates"), files)


@pytest.fixture
def any_answers(monkeypatch):
    """Discovery sets without a question to the model."""

    def draw(model, task, rows, size, seed):
        return balanced_sample(rows, size, task.labels, seed)

    monkeypatch.setattr(template_effects, "discovery_set", draw)


def test_maps_are_those_of_scoring_by_hand(loaded, file, any_answers):
    model, task = loaded["qwen2"], load_task(str(file))
    report = compare_templates(model, task, SMALL)
    assert (report.n_heads, report.k, report.languages) == (12, 1, ["indonesian", "javanese"])
    assert len(report.tops) == 3 * 2 * 2 * 2
    # the same texts in both languages
    assert report.shares["language"]["value"] <= 1e-9
    assert report.overlap["language"]["jaccard"] == report.overlap["language"]["texts"] == 1
    assert report.overlap["pool"]["texts"] == 0, "pools share no text"
    assert report.overlap["template"]["texts"] == 1 and 0 < report.overlap["seed"]["texts"] < 1
    assert report.shares["template"]["value"] > 0.05
    assert sum(of["value"] for of in report.shares.values()) == pytest.approx(1)
    assert "% of the variance of head scores is the same in all maps" in finding(report.as_json())
    # one cell by hand: template "words", the second pool, the second seed
    words = template_effects.template_tasks(task, TEMPLATES)["words"]
    ordered = sorted(
        task.pools(task.load("indonesian", "train"))[0],
        key=lambda row: task.labels.index(row.label),
    )
    ids = [row.id for row in ordered[1::2]]
    rows = {row.id: row for row in words.load("javanese", "train")}
    pool = balanced_sample([rows[id] for id in ids], 6, words.labels, seed=1)
    assert {row.label for row in pool} == {"bad", "plain", "good"}
    scores = score_heads(model, words, pool, label_balanced_means(model, words, pool), "atp")
    cell = {"template": 2, "language": 1, "pool": 1, "seed": 1}
    (top,) = [one["heads"] for one in report.tops if {**one, **cell} == one]
    assert top == [head_name(scores.ranking()[0])]


def test_one_template_s_map_is_not_another_s(loaded, file, any_answers, monkeypatch):
    """The control: where scores do not read the prompt, template has no share."""
    model, task = loaded["qwen2"], load_task(str(file))
    fixed = np.arange(12.0)

    def score(model, task, pool, means, method, **settings):
        from support.scores import made

        return made(fixed.reshape(3, 4).tolist())

    monkeypatch.setattr(template_effects, "score_heads", score)
    report = compare_templates(model, task, SMALL)
    assert report.shares["same"]["value"] == pytest.approx(1)
    assert report.overlap["template"]["above"] == pytest.approx(1 - report.chance)


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        ({"pools": 0}, ("pools", "0")),
        ({"method": "lime"}, ("'lime'", "cdt symmetric")),
        ({"languages": ("a", "a")}, ("'a'", "twice")),
        ({"templates": TEMPLATES, "pools": 500, "seeds": 2}, ("3000 head maps", "fewer")),
    ],
)
def test_wrong_settings_are_refused(checks, words):
    said(lambda: TemplateChecks(**checks), *words)


def test_what_cannot_be_compared_is_named(loaded, file, task, tmp_path):
    model, own_task = loaded["qwen2"], load_task(str(file))
    long = (*TEMPLATES[:2], Template("long", None, {"negative": "unquestionably bad"}))
    said(
        lambda: compare_templates(model, own_task, TemplateChecks(long)),
        "Template 'long'",
        "must be ONE known token",
    )
    few = TemplateChecks(TEMPLATES, pools=1, seeds=1, method="atp", size=48)
    said(
        lambda: compare_templates(model, own_task, few),
        "Template 'own', indonesian",
        "examples needed",
    )
    rows = cued(12)
    foreign = [replace(row, id=f"j{row.id}") for row in rows]
    files = {("indonesian", "train"): rows, ("javanese", "train"): foreign}
    other = write_task(tmp_path, files)
    said(
        lambda: compare_templates(model, load_task(str(other)), SMALL),
        "javanese",
        "no translations of the same texts",
    )


def test_the_shell_prints_both_tables(shell, folders, file, any_answers, tmp_path):
    path = tmp_path / "templates.json"
    entries = [{"name": one.name, "labels": one.words} for one in TEMPLATES]
    entries[1]["prompt"] = TEMPLATES[1].prompt
    path.write_text(json.dumps(entries))
    words = ("validate", "--model", folders["qwen2"], "--task", file, "--device", "cpu")
    words += ("--templates", path, "--template-method", "atp", "--template-size", 6)
    words += ("--methods", "atp", "--size", 6, "--rows", 6, "--random", 0, "--pools", 0)
    code, out, err = shell(*words)
    assert code == 0, err
    assert "3 templates, 2 languages (indonesian, javanese), 3 pools, 2 seeds" in out
    assert "seed within a pool" in out and "minus chance" in out and "matters most" in out
    (run,) = runs.list_runs()
    result = json.loads(run.file("result.json").read_text())
    assert runs.results.result(run)["templates"] == result["templates"]
    code, alone, err = shell(*words, "--only-templates")
    tables, _, _ = alone.rpartition("matters most")
    assert code == 0 and alone.startswith("Head maps by atp") and tables in out, err
    only = runs.results.result(runs.list_runs()[0])
    assert only["templates"] == result["templates"] and "agreement" not in only
    bad(shell("validate", "--only-templates"), "--templates")
    path.write_text("[]")
    bad(shell(*words), "0 templates")
