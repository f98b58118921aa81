"""Compare offers the runs that are missing: every way on the same targets, rows and seeds."""

from dataclasses import replace

from ctsft.jobs import tuning_table
from ctsft.jobs.requests import request_of, typed_runs
from explorer.compare import missing_runs
from explorer.session import own_runs
from support.finetune_page import tuned, two_targets
from support.pages import button, visit


def asked(rows) -> set[tuple]:
    return {
        (one.tuning.what, one.tuning.target, one.tuning.n, one.config.seed)
        for one in missing_runs.missing_runs(rows)
    }


def test_each_way_gets_the_combinations_of_the_others(view, tmp_path):
    view = replace(view, task=two_targets(tmp_path))
    tuned(view, "circuit", seed=1)
    tuned(view, "circuit", seed=2)
    tuned(replace(view, target="english"), "circuit", seed=1)
    full = tuned(view, "full", seed=1)
    rows = tuning_table.table_rows()
    n = request_of(full).tuning.n
    assert asked(rows) == {("full", "javanese", n, 2), ("full", "english", n, 1)}
    # the run itself with other rows
    request = next(one for one in missing_runs.missing_runs(rows) if one.config.seed == 2)
    assert request.config == request_of(full).config.model_copy(update={"seed": 2})
    assert request.subject == request_of(full).subject
    # the controls: one way alone, other epochs, and runs that are there lack nothing
    assert asked([row for row in rows if row["what"] == "circuit"]) == set()
    tuned(replace(view, epochs=3), "norms", seed=3)
    assert len(asked(tuning_table.table_rows())) == 2
    tuned(view, "full", seed=2)
    assert asked(tuning_table.table_rows()) == {("full", "english", n, 1)}


def test_one_click_starts_them(view, monkeypatch):
    started = []
    monkeypatch.setattr(own_runs, "start", lambda request: started.append(request))
    tuned(view, "circuit", seed=1)
    tuned(view, "full", seed=2)
    at = visit(view, "compare/page.py")
    at = button(at, "Run what is missing (2 runs)").click().run()
    assert not at.exception
    assert {(one.tuning.what, one.config.seed) for one in started} == {("circuit", 2), ("full", 1)}
    assert len(list(typed_runs("finetune"))) == 2
