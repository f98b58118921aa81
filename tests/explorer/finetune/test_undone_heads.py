"""Fine-tune: heads of a finished run get their old weights back, and both accuracies are measured
again.
"""

import pytest

import ctsft
from ctsft import runs
from ctsft.jobs.requests import UndoRequest
from ctsft.jobs.undo import undo
from ctsft.tuning.delta import Delta
from ctsft.utils.format import head_name
from explorer.finetune import cheapest_damage, undo_choice, undone_heads
from explorer.session import inputs
from support.finetune_page import really_tuned
from support.pages import button, charts, metric, receipts, texts, visit
from support.tasks import agreed


@pytest.fixture
def done(folders, loaded, task, tmp_path):
    """A really tuned run of a tiny model, its view, and one of its trained heads."""
    rows = agreed(loaded["qwen2"], task, each=12)
    run, tuned_view = really_tuned(folders["qwen2"], rows, tmp_path, shares=False)
    return run, tuned_view, min(ctsft.Circuit.load(run.file("circuit.json")).heads)


def drawn(at, title):
    return [one for one in charts(at) if one["layout"].get("title", {}).get("text") == title][0]


def test_a_head_is_undone_measured_kept_and_reset(done):
    run, tuned_view, head = done
    at = visit(tuned_view)
    chosen = at.multiselect(key=f"undone_{run.id}")
    assert len(chosen.options) == 2 and head_name(head) in chosen.options and not chosen.value
    assert not button(at, "Keep this") and not at.exception
    chosen.set_value([head]).run()
    subject, rows, _ = undone_heads.open_undoing(run)
    model = subject.write([head])
    for language, some in rows.items():
        value = ctsft.accuracy(model, subject.task, some)
        assert metric(at, language.capitalize()) == f"{value:.3f}"
    assert "× old weights" in str(drawn(at, "Change by head")["layout"]["annotations"])
    button(at, "Keep this").click().run()
    delta_file = undo_choice.kept_file(run, [head])
    assert not at.exception and any(code.value == str(delta_file) for code in at.code)
    assert Delta.load(delta_file).about["head_shares"] == {f"{head[0]}.{head[1]}": 0}
    button(at, "Reset").click().run()
    assert not at.multiselect(key=f"undone_{run.id}").value and not button(at, "Reset")


def test_the_cheapest_damage_is_a_run_of_its_own(done, started):
    run, tuned_view, _ = done
    at = visit(tuned_view)
    button(at, "Undo the cheapest damage").click().run()
    assert [(one.kind, one.tuned, one.heads) for one in started] == [("undo", run.id, ())]


def test_its_result_is_a_chart_and_heads_to_take(done):
    run, tuned_view, head = done
    request = UndoRequest(tuned=run.id, most_lost=1, most_undone=1)
    with runs.record(request) as job:
        summary = undo(job, request)
    job.file("result.json").write_text(
        job.file("result.json").read_text().replace('"heads": []', f'"heads": [{list(head)}]')
    )
    at = visit(tuned_view)
    assert not at.exception and not button(at, "Undo the cheapest damage")
    assert any("undone" in (one["layout"].get("meta") or {}).get("alt", "") for one in charts(at))
    assert f"<dd>{job.id}</dd>" in receipts(at)
    assert "of what was trained" in texts(at) and "test rows" in texts(at)
    taken = [tuple(one) for one in summary["heads"]] or [head]
    button(at, "Undo these heads on the map").click().run()
    assert at.multiselect(key=f"undone_{run.id}").value == sorted(taken)


def test_a_large_model_is_measured_by_a_run(done, started, monkeypatch):
    run, tuned_view, head = done
    monkeypatch.setattr(inputs, "SMALL", 1)
    monkeypatch.setattr(
        "explorer.finetune.weight_changes.changes",
        lambda run: (
            [
                {"layer": layer, "head": h, "change": 1.0, "of": 2.0}
                for layer in range(3)
                for h in range(4)
            ]
            + [{"layer": None, "head": "norms", "change": 1.0, "of": 2.0}]
        ),
    )
    at = visit(tuned_view)
    at.multiselect(key=f"undone_{run.id}").set_value([head]).run()
    button(at, "Measure").click().run()
    assert [(one.kind, one.heads) for one in started] == [("undo", (head_name(head),))]
    request = UndoRequest(tuned=run.id, heads=(head_name(head),), final_split=None)
    with runs.record(request) as job:
        undo(job, request)
    at.run()
    assert metric(at, "Javanese") and not button(at, "Measure") and not at.exception


def test_what_can_be_undone_and_what_is_said_where_nothing_pays():
    rows = [{"layer": 0, "head": 0, "change": 1.0}, {"layer": 0, "head": 1, "change": 0.5}]
    rows += [
        {"layer": 1, "head": 0, "change": 0.0},
        {"layer": None, "head": "norms", "change": 2.0},
    ]
    assert undone_heads.undoable(rows, frozenset({(0, 0), (1, 0)})) == {(0, 0)}
    assert undone_heads.undoable(rows, frozenset()) == {(0, 0), (0, 1)}
    assert "none is undone" in cheapest_damage.sentence({"heads": []})
