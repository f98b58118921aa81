"""Runs as one file that another home opens; and files that are none, which write nothing."""

import io
import json
import os
import stat
import zipfile
from pathlib import Path

import pytest

from ctsft import runs
from ctsft.cli.main import main
from ctsft.jobs import bundle
from ctsft.jobs.bundle import open_bundle, write_bundle
from ctsft.jobs.requests import FaithfulnessRequest, FinetuneRequest, Tuning, typed_runs
from ctsft.jobs.tuning_table import table_rows
from ctsft.runs import explorations, notes
from ctsft.runs.answers import answers_of
from ctsft.utils.errors import UserError
from explorer.session.view import View
from support.finetune_page import tuned
from support.tasks import cued, write_task


@pytest.fixture
def view(tmp_path) -> View:
    rows = {
        (language, split): cued(6, i)
        for i, language in enumerate(("indonesian", "javanese"))
        for split in ("train", "valid", "test")
    }
    return View(task=str(write_task(tmp_path / "task", rows)), target="javanese", n=6)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Go to another, empty home."""

    def go() -> Path:
        monkeypatch.setenv("CTSFT_HOME", str(tmp_path / "elsewhere"))
        return tmp_path / "elsewhere"

    return go


def test_a_bundle_opens_in_another_home_as_read_only_runs(view, tmp_path, elsewhere):
    run = tuned(view, name="first")
    row, answers = table_rows()[0], answers_of(run)
    run.file("delta.safetensors").write_bytes(b"large")
    written = write_bundle([run.id], tmp_path / "my runs.zip")
    assert [one.id for one in written] == [run.id]
    home = elsewhere()
    assert table_rows() == []
    opened = open_bundle(tmp_path / "my runs.zip")
    assert opened.folder == home / "explorations" / "my-runs" and opened.origin == "my runs.zip"
    (copied,) = runs.list_read_only()
    assert runs.get(run.id).path == copied.path and runs.list_runs() == []
    assert table_rows() == [row | {"origin": "my runs.zip"}]
    assert answers_of(copied) == answers
    assert [one.id for one, _ in typed_runs("finetune")] == [run.id]
    assert not copied.file("delta.safetensors").exists()
    assert copied.file("status.json").stat().st_mode & 0o077 == 0 or os.name == "nt"


def test_nothing_in_a_bundle_tells_of_the_machine(view, tmp_path):
    run = tuned(view)
    write_bundle([run.id], tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as packed:
        request, status = (
            json.loads(packed.read(f"runs/{run.id}/{name}.json")) for name in ("request", "status")
        )
        assert not any(name.endswith((".txt", "owner", "stop")) for name in packed.namelist())
    assert json.loads(run.file("request.json").read_text())["cwd"] and request["cwd"] == ""
    assert status["host"] == "" and status["pid"] is None
    assert json.loads(run.file("status.json").read_text())["pid"]


def test_deltas_are_part_of_it_on_request(view, tmp_path):
    run = tuned(view)
    run.file("delta.safetensors").write_bytes(b"large")
    write_bundle([run.id], tmp_path / "b.zip", deltas=True)
    with zipfile.ZipFile(tmp_path / "b.zip") as packed:
        assert f"runs/{run.id}/delta.safetensors" in packed.namelist()


def test_runs_that_a_run_refers_to_are_bundled_with_it(view, tmp_path):
    scored, other = tuned(view), tuned(view)
    with runs.record(FaithfulnessRequest(scores=scored.id)) as measured:
        pass
    written = write_bundle([measured.id], tmp_path / "b.zip")
    assert [run.id for run in written] == [measured.id, scored.id] and other.id not in written


def test_own_runs_hide_the_same_runs_of_an_exploration(view, tmp_path):
    run = tuned(view)
    write_bundle([run.id], tmp_path / "b.zip")
    open_bundle(tmp_path / "b.zip")
    assert runs.list_read_only() == [] and runs.get(run.id).path == run.path
    assert len(table_rows()) == 1


def test_a_read_only_run_is_neither_changed_nor_removed(view, tmp_path, elsewhere):
    run = tuned(view)
    write_bundle([run.id], tmp_path / "b.zip")
    elsewhere()
    open_bundle(tmp_path / "b.zip")
    copied = runs.get(run.id)
    changes = (
        runs.delete,
        runs.resume,
        runs.kill,
        lambda run: runs.stop(run, "discard"),
        lambda run: notes.save_note(run, "name"),
    )
    for change in changes:
        with pytest.raises(UserError, match="read only; .*explorations remove b"):
            change(copied)
    assert copied.file("result.json").is_file()


def test_removing_an_exploration_removes_its_folder_only(view, tmp_path):
    run = tuned(view)
    write_bundle([run.id], tmp_path / "b.zip")
    first, second = open_bundle(tmp_path / "b.zip"), open_bundle(tmp_path / "b.zip")
    assert (first.name, second.name) == ("b", "b-2")
    explorations.remove_exploration("b")
    assert not first.folder.exists() and second.folder.is_dir() and run.path.is_dir()
    for name in ("b", "../runs", "", "recorded"):
        with pytest.raises(UserError, match="There is no exploration"):
            explorations.remove_exploration(name)


def test_recorded_runs_are_listed_apart_and_cannot_be_removed(
    view, tmp_path, elsewhere, monkeypatch
):
    run = tuned(view)
    write_bundle([run.id], tmp_path / "demo.zip")
    home = elsewhere()
    folder = open_bundle(tmp_path / "demo.zip").folder
    (tmp_path / "recorded").mkdir()
    folder.rename(tmp_path / "recorded" / "demo")
    monkeypatch.setattr(explorations, "RECORDED", tmp_path / "recorded")
    assert table_rows() == [] and runs.list_read_only(recorded=False) == []
    assert [row["origin"] for row in table_rows(recorded=True)] == ["recorded"]
    with pytest.raises(UserError, match="comes with the program and is read only"):
        runs.delete(runs.get(run.id))
    with pytest.raises(UserError, match="none was opened"):
        explorations.remove_exploration("demo")
    assert home.is_dir()


def test_what_cannot_be_bundled_is_refused(view, tmp_path, monkeypatch):
    run, to = tuned(view), tmp_path / "b.zip"
    request = FinetuneRequest(tuning=Tuning(target="javanese"))
    with runs.record(request) as active, pytest.raises(UserError, match="has not ended"):
        write_bundle([active.id], to)
    for ids, path, why in (
        ([], to, "Name the runs"),
        (["20260101-000000-score-aaaa"], to, "There is no run"),
        ([run.id], tmp_path / "b.tar", "does not end in .zip"),
        ([run.id], Path(__file__), "exists already"),
    ):
        with pytest.raises(UserError, match=why):
            write_bundle(ids, path)
    monkeypatch.setattr(bundle, "MOST_BYTES", 100)
    with pytest.raises(UserError, match="a bundle holds at most"):
        write_bundle([run.id], to)
    assert not to.exists()


def entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


ID = "20260101-000000-finetune-aaaa"
HOSTILE = {
    "climbs": (entry("../evil.json"), "is not a file of a run"),
    "climbs within": (entry("runs/../../evil.json"), "is not a file of a run"),
    "absolute": (entry("/tmp/evil.json"), "is not a file of a run"),
    "drive": (entry("C:/evil.json"), "is not a file of a run"),
    "backslash": (entry(f"runs/{ID}/..\\..\\evil.json"), "is not one of the files"),
    "hidden": (entry(f"runs/{ID}/.evil.json"), "is not one of the files"),
    "deep": (entry(f"runs/{ID}/model/config.json"), "is not a file of a run"),
    "script": (entry(f"runs/{ID}/evil.py"), "is not one of the files"),
    "pickle": (entry(f"runs/{ID}/weights.bin"), "is not one of the files"),
    "other id": (entry("runs/Evil/request.json"), "is not a file of a run"),
    "link": (entry(f"runs/{ID}/result.json", stat.S_IFLNK | 0o777), "is a link or a device"),
    "device": (entry(f"runs/{ID}/events.jsonl", stat.S_IFIFO | 0o644), "is a link or a device"),
    "twice": (entry(f"runs/{ID}/REQUEST.json"), "is there twice"),
    "folder": (entry("elsewhere/", stat.S_IFDIR | 0o755), "is not a folder of a bundle"),
}
REQUEST = FinetuneRequest(tuning=Tuning(target="javanese")).model_dump_json()
STATUS = '{"state": "done"}'


def packed(*further: tuple, request: str = REQUEST, status: str = STATUS) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(f"runs/{ID}/request.json", request)
        made.writestr(f"runs/{ID}/status.json", status)
        for name, content in further:
            made.writestr(name, content)
    return file


def test_a_bundle_made_by_hand_is_opened():
    """The control of the refusals below."""
    assert [path.name for path in open_bundle(packed()).runs.iterdir()] == [ID]


def refused(file, why: str, home: Path):
    with pytest.raises(UserError, match=why) as error:
        open_bundle(file, "evil.zip")
    assert "\n" not in str(error.value) and str(error.value).startswith("The bundle evil.zip")
    left = [path for path in home.rglob("*") if path.is_file()]
    assert left == [] and not (home.parent / "evil.json").exists()


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_entries_are_refused_and_nothing_is_written(case, home):
    info, why = HOSTILE[case]
    refused(packed((info, b"{}")), why, home)


def test_bombs_are_refused_by_their_size(home, monkeypatch):
    monkeypatch.setattr(bundle, "MOST_BYTES", 10_000)
    refused(packed((f"runs/{ID}/table.csv", b"0" * 20_000)), "more than 10,000 bytes", home)
    monkeypatch.setattr(bundle, "MOST_FILES", 3)
    tables = [(f"runs/{ID}/{i}.csv", b"") for i in range(4)]
    refused(packed(*tables), "it has 6 files, more than 3", home)


def test_an_entry_that_lies_about_its_size_is_refused(home):
    file = packed((f"runs/{ID}/table.csv", b"0" * 20_000))
    content = bytearray(file.getvalue())
    size = (20_000).to_bytes(4, "little")
    content = content.replace(size, (10).to_bytes(4, "little"))
    refused(io.BytesIO(bytes(content)), "cannot be read", home)


@pytest.mark.parametrize(
    "content, why",
    [
        (b"", "cannot be read"),
        (b"#!/bin/sh\n", "cannot be read"),
        (packed().getvalue()[:-40], "cannot be read"),
        (packed().getvalue()[:120], "cannot be read"),
    ],
    ids=["empty", "script", "torn", "half"],
)
def test_what_is_no_zip_is_refused(content, why, home):
    refused(io.BytesIO(content), why, home)


@pytest.mark.parametrize(
    "changes, why",
    [
        ({"request": '{"kind": "finetune"}'}, "is unreadable: request.json: 'finetune.tuning'"),
        ({"request": '{"kind": "shell", "argv": ["rm"]}'}, "made by an earlier version"),
        ({"request": "not json"}, "is unreadable: request.json: not JSON"),
        ({"status": '{"state": "running", "pid": 1}'}, "is not a run that has ended"),
        ({"status": '{"state": "dancing"}'}, "is unreadable: status.json"),
    ],
    ids=["request", "earlier", "torn", "running", "state"],
)
def test_a_run_that_the_list_would_refuse_is_refused(changes, why, home):
    refused(packed(**changes), why, home)


@pytest.mark.parametrize("name, content", [("result.json", "[]"), ("events.jsonl", '{"kind": 1}')])
def test_results_pass_the_typed_door(name, content, home):
    if name == "events.jsonl":
        content = '{"kind": "evaluation", "accuracy": 5}\n'
    refused(packed((f"runs/{ID}/{name}", content)), f"is unreadable: {name}", home)


def test_a_bundle_without_runs_is_refused(home):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("exploration.json", "{}")
    refused(file, "it holds no run", home)


def test_the_shell_bundles_opens_lists_and_removes(view, tmp_path, elsewhere, capsys):
    run = tuned(view)
    to = str(tmp_path / "mine.zip")
    assert main(["bundle", run.id, "--to", to]) == 0
    elsewhere()
    assert main(["explorations", "open", to]) == 0
    assert main(["runs", "list"]) == 0
    assert f"{run.id}  done     100%  [from mine.zip]" in capsys.readouterr().out
    assert main(["explorations", "list"]) == 0
    assert "mine  mine.zip  1 runs" in capsys.readouterr().out
    assert main(["explorations", "remove", "mine"]) == 0
    assert runs.list_read_only(recorded=False) == []
    assert main(["explorations", "open", str(tmp_path / "none.zip")]) == 2
    assert "There is no file" in capsys.readouterr().err
