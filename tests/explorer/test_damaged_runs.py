"""A run folder that holds anything is listed as unreadable with the reason, and changes nothing
else: not the list, not the table, not the sidebar, not Compare.
"""

import json
import os

import pytest

from ctsft import runs
from ctsft.cli.main import main
from ctsft.jobs import tuning_table
from ctsft.jobs.requests import request_of
from ctsft.runs import results
from ctsft.runs.damage import damage
from explorer import sidebar
from support.damaged_runs import DAMAGE, MISSING, without
from support.finetune_page import tuned
from support.pages import texts, visit

pytestmark = pytest.mark.skipif(os.name == "nt", reason="pipes and devices are POSIX")

# the request's own types, which a list without torch does not know
TYPED = [f"request.json: {key}" for key in ("tuning", "subject", "config", "unknown")]


@pytest.fixture
def view(finetune_view):
    return finetune_view


def lists(shell) -> list[dict]:
    shell.readouterr()
    assert main(["runs", "list", "--json"]) == 0
    return json.loads(shell.readouterr().out)


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_run_is_named_and_changes_nothing_else(view, capsys, kind):
    good, bad = tuned(view), tuned(view, what="full")
    before, rows = lists(capsys), tuning_table.table_rows()
    DAMAGE[kind](bad)
    after = {row["run"]: row for row in lists(capsys)}
    assert after[good.id] == next(row for row in before if row["run"] == good.id)
    if kind in TYPED:
        assert request_of(bad) is None
    else:
        row = after[bad.id]
        # without its state, the run of a process that is alive counts as at work
        assert row["state"] == ("running" if kind == "status.json: state" else "unreadable")
        assert row["message"].startswith("unreadable: ")
        assert len(row["message"]) < 300 and "\n" not in row["message"]
    assert [row for row in tuning_table.table_rows() if row["run"] == good.id] == [
        row for row in rows if row["run"] == good.id
    ]
    tuning_table.table_text(tuning_table.table_rows())
    for run in (good, bad):
        results.result(run), results.evaluations(run), run.log_tail(), run.status()
    assert main(["runs", "show", bad.id]) == 0 and main(["compare", "--csv"]) == 0
    # a second reading, of files that settled, says the same
    for path in [bad.path, *bad.path.iterdir()]:
        if path.exists() and not path.is_symlink():
            os.utime(path, (path.stat().st_mtime - 60,) * 2)
    assert {row["run"]: row["state"] for row in lists(capsys)} == {
        run: row["state"] for run, row in after.items()
    }
    if kind != "status.json: state":
        assert main(["runs", "delete", bad.id]) == 0 and not bad.path.exists()


@pytest.mark.parametrize("key", MISSING)
def test_a_result_that_lacks_a_figure_is_shown_without_it(view, key):
    run = tuned(view)
    without("result.json", key)(run)
    (row,) = tuning_table.table_rows()
    assert row["run"] == run.id and (row["share"] is None) == (key != "heads")
    assert run.id in tuning_table.table_text([row]) and not damage(run)


def test_damaged_runs_change_neither_the_sidebar_nor_compare(view, capsys):
    """All of them at once, on the pages."""
    good = tuned(view)
    alone = visit(view, "compare/page.py")
    shown = texts(alone)
    bad = {}
    for kind, make in DAMAGE.items():
        bad[kind] = tuned(view, what="full")
        make(bad[kind])
    at = visit(view, "compare/page.py")
    assert not at.exception and not at.error and "has an error" not in texts(at)
    assert "Not shown, unreadable: " in texts(at).replace("\\", "")
    named = texts(at) + "".join(damage(run) for run in bad.values())
    assert shown.count("Frontier") == texts(at).count("Frontier") and named
    table = at.dataframe[0].value
    assert good.id in set(table["run"])
    # what is only named in a list: status, events with a wrong row; the others have no row
    missing = {run.id for run in bad.values()} - {row["run"] for row in tuning_table.table_rows()}
    assert len(missing) > len(bad) / 3
    for page in ("setup", "relevance", "circuit", "finetune"):
        at = visit(view, f"{page}/page.py")
        assert not at.exception and not at.error, (page, at.error)
        assert "has an error" not in texts(at)


def test_no_permission_to_read_is_a_reason_too(view, capsys, monkeypatch):
    """Root ignores modes, so that the system's refusal is simulated."""
    good, bad = tuned(view), tuned(view, what="full")
    real = {name: getattr(os, name) for name in ("open", "lstat", "stat")}

    def refused(name):
        def call(path, *args, **settings):
            if str(bad.path) in str(path) and str(path) != str(bad.path):
                raise PermissionError(13, "Permission denied", str(path))
            return real[name](path, *args, **settings)

        return call

    for name in real:
        monkeypatch.setattr(os, name, refused(name))
    rows = {row["run"]: row for row in lists(capsys)}
    assert rows[bad.id]["message"] == "unreadable: request.json: Permission denied"
    assert rows[good.id]["state"] == "done"
    assert [row["run"] for row in tuning_table.table_rows()] == [good.id]
    assert runs.get(bad.id).request.kind == "finetune"


def test_a_sidebar_that_fails_is_a_phrase_and_the_page_is_drawn(view, monkeypatch):
    def broken():
        raise KeyError("history")

    monkeypatch.setitem(sidebar.STEPS, "compare", broken)
    at = visit(view, "compare/page.py")
    assert not at.exception and "has an error" in texts(at) and at.header[0].value == "Compare"

    def worse(pages):
        raise KeyError("history")

    monkeypatch.setattr(sidebar, "draw", worse)
    at = visit(view, "compare/page.py")
    assert at.header[0].value == "Compare" and len(at.exception) == 1  # one sentence, elsewhere
