"""The job that fits a surrogate of faithfulness: its file, its summary, and a run that is stopped
and goes on.
"""

from dataclasses import replace

import pytest

import ctsft
from ctsft import runs
from ctsft.attribution.means import Means
from ctsft.circuit.selection import select
from ctsft.circuit.set_meter import SetMeter
from ctsft.circuit.surrogate import FaithfulnessSurrogate
from ctsft.cli.main import main
from ctsft.data.registry import load_task
from ctsft.data.task import balanced_sample, rows_hash
from ctsft.jobs.reporter import Stopped
from ctsft.jobs.requests import SurrogateRequest, request_of
from ctsft.jobs.results import read_scores
from ctsft.jobs.surrogate import FILE
from ctsft.runs import results
from ctsft.runs.writer import Writer
from support.jobs import done


@pytest.fixture
def request_(subject, scored) -> SurrogateRequest:
    return SurrogateRequest(
        subject=replace(subject, split="valid"), scores=scored.id, circuits=40, rows=6
    )


def test_it_predicts_what_a_measurement_gives(request_, scored, loaded):
    run, summary = done(request_)
    surrogate = FaithfulnessSurrogate.load(run.file(FILE))
    assert (summary["circuits"], summary["rows"], summary["stopped"]) == (40, 6, False)
    assert summary["held_out"]["margin"]["r2"] > 0.5 and results.checked_result(run)["means"]
    task = load_task(request_.subject.task)
    rows = balanced_sample(task.load("indonesian", "valid"), 6, task.labels, request_.seed)
    assert request_of(run).facts.data_fingerprints["rows"] == rows_hash(rows)
    means = Means.load(scored.file("means.safetensors"))
    for k in (2, 7):
        circuit = select(read_scores(scored.id), "least", k=k)
        known = surrogate.predict(circuit.heads, "margin")
        report = ctsft.faithfulness(loaded["qwen2"], task, circuit, rows, means)
        assert abs(known.value - report.margin) < 2 * max(0.1, known.high - known.low)


def test_a_run_that_is_stopped_is_fitted_to_what_it_has_and_goes_on_from_there(
    request_, monkeypatch
):
    measured, of_set = [], SetMeter.of_set

    def counted(self, mask):
        measured.append(mask.tobytes())
        return of_set(self, mask)

    monkeypatch.setattr(SetMeter, "of_set", counted)
    monkeypatch.setattr("ctsft.circuit.set_meter.STORED_EVERY", 0.0)
    stops = (30, 35)
    asked = Writer.stop_requested
    monkeypatch.setattr(
        Writer, "stop_requested", lambda run: "keep" if len(measured) in stops else asked(run)
    )
    run, summary = done(request_)
    assert summary["stopped"] and summary["circuits"] == 30
    assert FaithfulnessSurrogate.load(run.file(FILE)).predict([]).value == 0
    monkeypatch.setattr(Writer, "stop_requested", asked)
    run, summary = done(request_)
    assert not summary["stopped"] and len(measured) == len(set(measured)) == 40


def test_with_too_few_circuits_a_stopped_run_has_no_result(request_, monkeypatch):
    monkeypatch.setattr(Writer, "stop_requested", lambda run: "keep")
    with pytest.raises(Stopped):
        done(request_)
    assert not runs.list_runs("surrogate")[0].file(FILE).exists()


def test_the_shell_fits_one(subject, scored, capsys):
    where = ["--model", subject.model, "--task", subject.task, "--device", "cpu"]
    assert main(["surrogate", "--scores", scored.id, *where, "--circuits", "24"]) == 0
    said = capsys.readouterr().out
    assert "24 circuits measured on 9 rows" in said and "by margin: mean absolute error" in said
    assert runs.list_runs("surrogate")[0].file(FILE).is_file()
    assert main(["surrogate", "--scores", scored.id, *where, "--circuits", "3"]) == 2
    assert "circuits" in capsys.readouterr().err
