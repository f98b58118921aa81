"""Which folders are runs, newest first, and read again when something changed; unknown ids."""

import os
import time

import pytest

from ctsft import runs
from ctsft.runs import folder as runs_folder
from ctsft.runs import recorder
from support.runs import queued

pytestmark = pytest.mark.usefixtures("folder")


@pytest.mark.parametrize("run_id", ["no-such-run", "../secret", "A B", "", "a/b", ".hidden"])
def test_an_unknown_id_is_answered_with_what_to_do(run_id, folder):
    for name in ("../secret", "A B", "a/b", ".hidden"):
        # all of them there, none of them a run
        (folder / name).resolve().mkdir(parents=True)
    with pytest.raises(runs.RunError) as error:
        runs.get(run_id)
    text = str(error.value)
    assert repr(run_id) in text and "python -m ctsft runs" in text and "\n" not in text


def test_an_id_that_no_folder_can_have_is_refused_shortly():
    with pytest.raises(runs.RunError) as error:
        runs.get("x" * 300)
    assert "x" * 80 not in str(error.value).replace(str(runs.home()), "")


def test_runs_are_listed_newest_first_and_other_folders_are_not(folder):
    made = [queued(kind) for kind in ("score", "finetune", "score")]
    for name in ("20260101-000000-score-empty", "Not_an_id"):
        (folder / name).mkdir()
    (folder / "Not_an_id" / "request.json").write_text("{}")
    (folder / "stray.txt").write_text("")
    assert [run.id for run in runs.list_runs()] == [run.id for run in reversed(made)]
    assert [run.id for run in runs.list_runs("score")] == [made[2].id, made[0].id]
    assert recorder.ID.fullmatch(made[0].id) and "-score-" in made[0].id


def test_an_unchanged_folder_of_runs_is_read_once_and_every_change_is_seen(folder, monkeypatch):
    scans, scan = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scans.append(path) or scan(path))

    def listed(scanned: bool) -> list[str]:
        scans.clear()
        names = {run.id for run in runs.list_runs()}
        assert bool(scans) == scanned
        return names

    def settle():
        past = time.time() - 10
        os.utime(folder, (past, past))

    first = queued("score")
    assert listed(True) == listed(True) == {first.id}, "it may change again at the same moment"
    settle()
    assert listed(True) == listed(False) == {first.id}
    second = queued("score")
    assert listed(True) == {first.id, second.id}
    pending = folder / "20260101-000000-score-late"
    pending.mkdir()
    settle()
    assert listed(True) == listed(True) == {first.id, second.id}
    # its request comes later, which does not change the folder of runs
    (pending / "request.json").write_text('{"kind": "score"}')
    settle()
    assert listed(True) == listed(False) == {first.id, second.id, pending.name}
    runs_folder.write_json(second.file("status.json"), runs.Status(state="done"))
    runs.delete(second)
    assert listed(True) == {first.id, pending.name}
