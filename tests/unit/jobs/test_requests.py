"""One typed request a job: as JSON and as shell arguments and back, compared, and those of an
earlier version.
"""

import json
from dataclasses import replace

import pytest
from pydantic import ValidationError

from ctsft import runs
from ctsft.cli.main import main
from ctsft.cli.run import JOBS
from ctsft.data.templates import read_templates
from ctsft.jobs import tuning_table
from ctsft.jobs.command_line import OPTIONS, arguments, shell_command
from ctsft.jobs.experiment_design import Design, Trial, read_design
from ctsft.jobs.request_parts import discovery_scoring
from ctsft.jobs.requests import (
    DiscoverRequest,
    ExperimentRequest,
    FinetuneRequest,
    ScoreRequest,
    Scoring,
    Subject,
    TemplateChecks,
    TrialOf,
    TuneConfig,
    ValidateRequest,
    from_json,
    needed_request,
    request_of,
    same_question,
    typed_runs,
)
from ctsft.utils.errors import UserError
from support.errors import said
from support.requests import CONFIG, REQUESTS, SCORING, SUBJECT, TUNING
from support.shell import parsed


def identity(request) -> str:
    return f"{request.kind}-{len(arguments(request))}"


@pytest.mark.parametrize("request_", REQUESTS, ids=identity)
def test_a_request_comes_back_from_json(request_):
    assert from_json(request_.model_dump_json()) == request_


@pytest.mark.parametrize(
    "request_", [one for one in REQUESTS if one.kind != "export"], ids=identity
)
def test_the_shell_parses_a_request_s_arguments_into_the_same_request(request_):
    assert parsed(arguments(request_)) == request_
    assert shell_command(request_).startswith(f"python -m ctsft {request_.kind}")


def test_an_experiment_comes_back_from_its_file(tmp_path):
    design = Design(name="mine", targets=["javanese"], n=[4], device="cpu")
    path = tmp_path / "a design.json"
    path.write_text(design.model_dump_json())
    request = ExperimentRequest(
        name="mine", design=design, file=str(path), data_dir="some data", jobs=2
    )
    assert parsed(arguments(request)) == request and from_json(request.model_dump_json()) == request


def test_templates_come_back_from_their_file(tmp_path):
    path = tmp_path / "some templates.json"
    entries = [{"name": "a", "labels": {"negative": "bad"}}, {"prompt": "{text} is"}, {"name": "c"}]
    path.write_text(json.dumps(entries))
    checks = TemplateChecks(read_templates(path), ("indonesian", "english"), 4, 3, "ig", 12)
    request = ValidateRequest(templates=checks, templates_file=str(path), only_templates=True)
    assert parsed(arguments(request)) == request and from_json(request.model_dump_json()) == request
    moved = request.model_copy(update={"templates_file": "elsewhere.json"})
    assert same_question(request, moved) and not same_question(request, ValidateRequest())
    both = request.model_copy(update={"only_templates": False})
    assert parsed(arguments(both)) == both and not same_question(request, both)


def test_every_kind_has_a_job_and_options():
    kinds = {request.kind for request in REQUESTS} | {"experiment"}
    assert kinds == set(JOBS) == set(OPTIONS)


def test_what_changes_no_number_is_no_part_of_the_question():
    one = ScoreRequest(subject=SUBJECT, scoring=SCORING)
    assert same_question(one, one.model_copy(update={"name": "x", "preview": True, "cache": False}))
    assert not same_question(one, one.model_copy(update={"scoring": replace(SCORING, seed=4)}))
    assert not same_question(one, DiscoverRequest(subject=SUBJECT))


def test_no_language_is_the_source_language_once_a_run_knows_it():
    named = ScoreRequest(subject=Subject(language="indonesian"))
    unnamed, other = ScoreRequest(), ScoreRequest(subject=Subject(language="javanese"))
    assert not same_question(named, unnamed), "nobody knows the source language yet"
    with runs.record(unnamed) as run:
        run.add_facts(source="indonesian")
    begun = request_of(run)
    assert begun.facts.source == "indonesian" and begun.subject.language is None
    assert same_question(named, begun) and same_question(begun, named)
    assert not same_question(other, begun)
    with runs.record(other) as run:
        run.add_facts(source="javanese")
    assert same_question(request_of(run), ScoreRequest())


def test_the_run_folder_holds_the_very_request_and_finds_it_again():
    request = FinetuneRequest(tuning=TUNING, config=CONFIG, subject=SUBJECT)
    trial = Trial(setting="one", method="full", target="english", n=4, seed=1, learning_rate=1e-3)
    part = request.model_copy(update={"trial_of": TrialOf(run="an-experiment", trial=trial)})
    for asked in (request, part):
        with runs.record(asked) as run:
            pass
        saved = request_of(run)
        assert same_question(saved, asked) and saved.created and saved.cwd
    assert [saved.trial_of is None for _, saved in typed_runs("finetune")] == [False, True]


def test_settings_that_are_none_are_refused_before_anything_is_loaded():
    said(lambda: Scoring(method="lime"), "'lime' is not a scoring method")
    with pytest.raises(ValidationError, match="epochs"):
        TuneConfig(epochs=0)
    with pytest.raises(ValidationError, match="Extra inputs"):
        ScoreRequest(words="x")


@pytest.fixture
def earlier(home) -> runs.Run:
    """A run folder as an earlier version wrote it."""
    folder = home / "runs" / "20260101-000000-finetune-old2"
    folder.mkdir(parents=True)
    content = {
        "kind": "finetune",
        "argv": ["finetune", "--target", "javanese"],
        "params": {"subject": {"model": "demo"}, "tuning": {"target": "javanese"}},
        "name": "old",
        "created": 1.77e9,
        "cwd": "",
    }
    (folder / "request.json").write_text(json.dumps(content))
    (folder / "status.json").write_text(json.dumps({"state": "done", "progress": 1.0}))
    row = {"kind": "evaluation", "step": 0, "accuracy": {"indonesian": 0.5, "javanese": 0.5}}
    (folder / "events.jsonl").write_text(json.dumps(row) + "\n")
    return runs.Run(folder)


def test_a_run_of_an_earlier_version_is_listed_with_a_note(earlier, capsys):
    assert request_of(earlier) is None and list(typed_runs("finetune")) == []
    assert earlier.request.kind == "finetune" and earlier.request.name == "old"
    assert tuning_table.table_rows() == []
    assert main(["runs"]) == 0
    assert "made by an earlier version" in capsys.readouterr().out
    assert main(["runs", "show", earlier.id]) == 0
    assert "made by an earlier version" in json.loads(capsys.readouterr().out)["command"]


def test_a_run_of_an_earlier_version_is_not_continued(earlier, capsys):
    said(lambda: runs.resume(earlier), "was made by an earlier version")
    with pytest.raises(UserError, match="start it again"):
        needed_request(earlier)
    assert main(["run", earlier.id]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert main(["runs", "delete", earlier.id]) == 0 and not earlier.path.exists()


def test_a_torn_request_is_no_request(earlier):
    earlier.file("request.json").write_text('{"kind": "finetune", "tun')
    assert request_of(earlier) is None and earlier.note == ""
    said(lambda: needed_request(earlier), "request.json that is damaged or not of this version")
    assert earlier.request.kind == "finetune", "told by the folder's name"


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
@pytest.mark.parametrize(
    "words",
    [
        ["finetune", "--target", "javanese", "--lr"],
        ["finetune", "--target", "javanese", "--epochs"],
        ["finetune", "--target", "javanese", "--weight-decay"],
        ["finetune", "--target", "javanese", "--max-grad-norm"],
        ["finetune", "--target", "javanese", "--lora-alpha"],
        ["discover", "--fraction"],
        ["advise", "--target", "javanese", "--damping"],
        ["score", "--max-memory"],
    ],
    ids=lambda words: words[-1],
)
def test_a_number_that_is_not_finite_is_refused_in_the_shell(capsys, home, words, value):
    """Control: `test_the_shell_parses_a_request_s_arguments_into_the_same_request`."""
    assert main([*words[:-1], f"{words[-1]}={value}"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("ctsft: ")
    assert value.strip("-") in err or "finite" in err
    assert not runs.list_runs()


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
@pytest.mark.parametrize(
    "entry",
    [
        '"settings": [{"learning_rate": VALUE}]',
        '"settings": [{"epochs": VALUE}]',
        '"settings": [{"learning_rates": [1e-3, VALUE], "choose": "valid"}]',
        '"settings": [{"by_method": {"full": VALUE}}]',
        '"settings": [{"weight_decay": VALUE}]',
        '"seeds": [VALUE]',
        '"k": VALUE',
    ],
)
def test_a_number_that_is_not_finite_is_refused_in_a_design(tmp_path, entry, value):
    path = tmp_path / "design.json"
    path.write_text('{"targets": ["javanese"], ' + entry.replace("VALUE", value) + "}")
    said(lambda: read_design(path), "cannot be used", "input should be a")


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_a_number_that_is_not_finite_is_no_request(value):
    text = FinetuneRequest(tuning=TUNING, config=CONFIG).model_dump_json()
    with pytest.raises(ValidationError):
        from_json(text.replace('"epochs":2.5', f'"epochs":{value}'))
    design = Design(targets=["javanese"], discovery={"size": float(value)})
    said(lambda: discovery_scoring(design), "discovery", "size")
