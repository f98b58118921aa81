"""Runs as rows: read once while their files stay the same, settings parted into shared and
differing ones, names and notes beside the request.
"""

import json
import os
import time

import pytest

from ctsft import runs
from ctsft.jobs import tuning_settings, tuning_table
from ctsft.jobs.requests import FinetuneRequest, Tuning
from ctsft.runs import folder, notes, results
from ctsft.runs.folder import file_stamp
from ctsft.tuning.config import TuneConfig
from ctsft.utils.errors import UserError


def tuned(what="circuit", after=0.7, steps=(0, 4), **config) -> runs.Run:
    request = FinetuneRequest(
        tuning=Tuning(target="english", what=what), config=TuneConfig(**config)
    )
    with runs.record(request) as run:
        for step in steps:
            accuracy = {"indonesian": 0.75, "english": 0.25 if step == 0 else after}
            run.event(
                kind="evaluation",
                step=step,
                steps=8,
                epoch=step / 4,
                loss=None,
                accuracy=accuracy,
                seconds=float(step),
            )
        run.file("result.json").write_text(
            json.dumps(
                {
                    "heads": 6,
                    "trainable": 10,
                    "total": 1000,
                    "rows": {"indonesian": 60, "english": 30},
                }
            )
        )
    return run


def settle(run: runs.Run):
    """As if its files had been written a while ago."""
    for path in run.path.iterdir():
        os.utime(path, (time.time() - 60,) * 2)


def test_a_row_is_made_again_only_when_a_file_of_the_run_changed(monkeypatch):
    run, read = tuned(), []
    plain = results.evaluations
    monkeypatch.setattr(tuning_table, "evaluations", lambda run: read.append(run.id) or plain(run))
    tuning_table.table_rows()
    assert len(read) == 1 and tuning_table.table_rows() and len(read) == 2, (
        "a file just written may change within one tick of the clock"
    )
    settle(run)
    read.clear()
    first = tuning_table.table_rows()[0]
    assert (
        first["target_after"] == 0.7
        and first["seconds"] == 4
        and first["measured"] == {"indonesian": 60, "english": 30}
    )
    first["target_after"] = "changed by its reader"
    assert tuning_table.table_rows()[0]["target_after"] == 0.7 and read == [run.id], (
        "rows are the reader's own, and read once"
    )
    with open(run.file("events.jsonl"), "a") as events:
        events.write(
            json.dumps(
                {"kind": "evaluation", "step": 8, "accuracy": {"indonesian": 0.5, "english": 0.9}}
            )
            + "\n"
        )
    assert (
        tuning_table.table_rows()[0]["target_after"],
        tuning_table.table_rows()[0]["seconds"],
        len(read),
    ) == (
        0.9,
        None,
        3,
    )
    runs.delete(run)
    assert tuning_table.table_rows() == []


def test_the_state_of_a_run_that_goes_on_is_never_remembered(monkeypatch):
    run = tuned()
    status = json.loads(run.file("status.json").read_text())
    # of this very process, which lives
    run.file("status.json").write_text(json.dumps(status | {"state": "running"}))
    settle(run)
    assert tuning_table.table_rows()[0]["state"] == "running"
    run.file("stop").write_text("keep")
    assert tuning_table.table_rows()[0]["state"] == "stopping"
    monkeypatch.setattr("ctsft.runs.folder.is_alive", lambda process: False)
    assert tuning_table.table_rows()[0]["state"] == "lost", "nothing was written, and it is gone"


def test_settings_that_differ_are_columns_and_the_others_are_told_once():
    tuned(seed=31, learning_rate=1e-3)
    tuned("full", seed=777, learning_rate=1e-3, kv="expand")
    rows = tuning_table.table_rows()
    same, differing = tuning_settings.common_settings(rows)
    assert (
        differing == ["seed", "kv"]
        and same["learning_rate"] == 1e-3
        and same["target"] == "english"
        and "eval_every" not in same
    )
    assert tuning_settings.common_settings(rows[:1])[1] == [] and tuning_settings.common_settings(
        []
    ) == (
        {},
        [],
    )
    table, shared = tuning_table.table_text(rows).rsplit("\n", 1)
    assert table.splitlines()[0].split() == [
        "run",
        "what",
        "heads",
        "trained",
        "seed",
        "kv",
        "source",
        "target",
        "acc.",
    ]
    assert "expand" in table.splitlines()[1] and "777" in table.splitlines()[1]
    assert (
        shared
        == "All: model demo, task demo, source indonesian, target english, n 50, epochs 5, lr"
        " 0.001, batch 16, split valid."
    )
    assert [tuning_settings.setting_text(value) for value in (True, None, 1e-5, ["q", "v"], 3)] == [
        "yes",
        "",
        "1e-05",
        "q and v",
        "3",
    ]


def test_a_name_and_a_note_stand_beside_the_request_and_go_with_nothing_in_them():
    run = tuned()
    before = file_stamp(run.file("request.json"))
    notes.save_note(run, "  <b>best\x00\nso far</b> ", "a\r\nb  ")
    row = tuning_table.table_rows()[0]
    assert (row["name"], row["note"]) == ("<b>best so far</b>", "a\nb") and file_stamp(
        run.file("request.json")
    ) == before
    assert tuning_table.table_text([row]).splitlines()[1].endswith(
        "a b"
    ) and "a\nb" in tuning_table.table_csv([row])
    notes.save_note(run, "", "")
    assert not run.file("note.json").exists() and tuning_table.table_rows()[0]["note"] == ""
    run.file("note.json").write_text('{"name": 3, "note": "kept"')
    assert notes.read_note(run) == notes.Note(), "a torn file is no note"
    with pytest.raises(UserError, match="name has 81 characters"):
        notes.save_note(run, "x" * 81)
    with pytest.raises(UserError, match="note has 2001 characters"):
        notes.save_note(run, note="x" * 2001)
    runs.delete(run)
    with pytest.raises(UserError, match="no longer exists"):
        notes.save_note(run, "late")


def test_a_run_in_an_old_ones_folder_is_read_anew(monkeypatch):
    run = tuned()
    settle(run)
    assert runs.list_runs("finetune") and run.status().state == "done"
    runs.delete(run)
    assert runs.list_runs() == []
    with runs.record(runs.Request(kind="score"), run.id):
        assert [one.id for one in runs.list_runs("score")] == [run.id] and runs.list_runs(
            "finetune"
        ) == []
        assert run.status().state == "running" and run.request.kind == "score"
    read, whole = [], folder.read_json
    monkeypatch.setattr(
        folder, "read_json", lambda path, kind: read.append(path.name) or whole(path, kind)
    )
    settle(run)
    for _ in range(3):
        assert len(runs.list_runs()) == 1
        run.status()
        assert run.request.kind == "score"
    assert sorted(read) == ["request.json", "status.json"], "what stays the same is read once"


def test_the_shares_of_a_change_are_changes_against_none_of_it():
    run = tuned("full")
    done = json.loads(run.file("result.json").read_text())
    accuracies = [{"indonesian": 0.8 - share / 5, "english": 0.4 + share / 5} for share in (0, 1)]
    points = [{"share": i, "accuracy": accuracy} for i, accuracy in enumerate(accuracies)]
    shares = {"split": "valid", "rows": {"indonesian": 9, "english": 9}, "points": points}
    run.file("result.json").write_text(json.dumps(done | {"shares": shares}))
    (row,) = tuning_table.table_rows()
    assert row["shares"][0] == {"share": 0, "source_change": 0, "target_change": 0}
    assert row["shares"][1]["source_change"] == pytest.approx(-0.2)
    assert row["shares"][1]["target_change"] == pytest.approx(0.2) and row["hold"] == 0
    damaged = [points[:1], [points[0], {"share": 1, "accuracy": {"english": 0.5}}], "none"]
    for wrong in damaged:
        broken = done | {"shares": shares | {"points": wrong}}
        run.file("result.json").write_text(json.dumps(broken))
        assert results.result(run) == {}, wrong
