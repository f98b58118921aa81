"""The first screen: drawn from recorded runs, without torch; its sentence follows from the answers
to the same rows.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from ctsft import runs
from ctsft.jobs.bundle import open_bundle, write_bundle
from ctsft.jobs.requests import request_of
from ctsft.runs import explorations
from ctsft.runs.answers import Answers
from explorer.session import warm
from explorer.session.view import View
from explorer.setup import recorded_story
from explorer.text import forgetting
from support.finetune_page import tuned
from support.pages import button, charts, texts, visit

ROOT = Path(__file__).resolve().parents[3]
SEEDS = (1, 2, 3, 4)
PAGE = "setup/page.py"
COLD = """
import json, sys
from pathlib import Path
import explorer.session.warm
pandas = "pandas" in sys.modules  # Plotly must never find it half imported by the thread
from streamlit.testing.v1 import AppTest
from ctsft.runs import explorations
explorations.RECORDED = Path(sys.argv[1])
explorer.session.warm.watch = lambda: None  # what completes the page imports them
at = AppTest.from_file(sys.argv[2], default_timeout=60).run()
def seen():
    heavy = sorted({"torch", "transformers", "scipy.stats"} & set(sys.modules))
    return {"heavy": heavy, "pandas": pandas, "charts": len(at.get("plotly_chart")),
        "panels": sum("curve-panel" in one.value for one in at.markdown),
        "buttons": {button.label: not button.disabled for button in at.button},
        "rows": [len(one.value) for one in at.dataframe if "forgetting" in one.value],
        "errors": len(at.exception) + len(at.error)}
pages = [seen()]
for query in ({}, {"compare-what": "circuit"}):
    at.query_params.update(query)
    at.switch_page("compare/page.py").run()
    pages.append(seen())
at = AppTest.from_file(sys.argv[2], default_timeout=60).run()
at.query_params.update({"tune-tab": "Experiment", "design-seeds": "1, 2", "design-k": "48"})
at.switch_page("finetune/page.py").run()
pages.append(seen() | {"k": [one.max for one in at.number_input if one.label == "Heads (k)"],
    "said": " ".join(one.value for one in at.markdown)})
print(json.dumps(pages))
"""


@pytest.fixture
def recorded(finetune_view, tmp_path, monkeypatch) -> View:
    """Recorded runs: everything forgets, the circuit does not."""
    ids = [
        complete(tuned(finetune_view, what, after=after, seed=seed))
        for what, after in (("full", (0.4, 0.7)), ("circuit", (0.85, 0.7)))
        for seed in SEEDS[:2]
    ]
    write_bundle(ids, tmp_path / "demo.zip")
    folder = open_bundle(tmp_path / "demo.zip").folder
    (tmp_path / "recorded").mkdir(exist_ok=True)
    folder.rename(tmp_path / "recorded" / "demo")
    monkeypatch.setattr(explorations, "RECORDED", tmp_path / "recorded")
    for run_id in ids:
        runs.delete(runs.Run(runs.run_folder(run_id)))
    return finetune_view


def complete(run) -> str:
    """The summary with what a job says of its settings, too."""
    request, path = request_of(run), run.file("result.json")
    about = {"source": "indonesian", "target": request.tuning.target, "what": request.tuning.what}
    about |= {"n": request.tuning.n, "config": request.config.model_dump()}
    path.write_text(json.dumps(json.loads(path.read_text()) | about))
    return run.id


def test_first_screen_compare_and_experiment_import_no_torch_or_transformers(recorded, tmp_path):
    main = str(ROOT / "explorer" / "main.py")
    done = subprocess.run(
        [sys.executable, "-c", COLD, str(tmp_path / "recorded"), main],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    first, compare, filtered, form = json.loads(done.stdout.splitlines()[-1])
    for seen, count in ((first, 0), (compare, 2), (filtered, 2), (form, 0)):
        assert seen["heavy"] == [] and seen["pandas"]
        assert seen["charts"] == count and seen["errors"] == 0
    assert first["panels"] == 2 and form["k"] == [48]
    assert "**8 trials**: 4 ways × 1 target × 1 size × 2 seeds" in form["said"]
    assert form["buttons"]["Start experiment"]
    assert "Do it yourself" in first["buttons"]
    assert not compare["buttons"]["Report (HTML)"] and compare["buttons"]["Name or note"] is False
    assert (compare["rows"], filtered["rows"]) == ([2], [1])  # a line for each way of tuning


def test_the_story_stands_above_the_folded_form(recorded):
    at = visit(View(), PAGE)
    panels = [one.value for one in at.markdown if "curve-panel" in one.value]
    assert not at.exception and len(panels) == 2 and not charts(at)
    assert button(at, "Do it yourself") and not button(at, "Score heads")
    assert any(one.label.startswith("Model and task: demo") for one in at.expander)
    text = texts(at)
    assert "On the same 60 Indonesian test rows, training everything" in text
    names = re.findall(r'class="name"[^>]*>([^<]*)<', panels[0])
    assert names == ["Circuit", "Everything"]


def test_another_model_unfolds_the_form(recorded):
    at = visit(View(model="x", model_kind="folder", folder="x"), PAGE)
    assert button(at, "Score heads") and not at.exception


def test_without_recorded_runs_the_form_is_the_page():
    at = visit(View(), PAGE)
    assert button(at, "Score heads") and not button(at, "Do it yourself")


def test_do_it_yourself_takes_the_settings_of_the_recorded_runs(recorded, started):
    at = visit(View(model="x", model_kind="folder", target="english", epochs=3, n=7), PAGE)
    button(at, "Do it yourself").click().run()
    view = at.session_state["view"]
    assert (view.model, view.task, view.source) == ("demo", "demo", "indonesian")
    assert (view.target, view.epochs, view.k) == ("javanese", recorded.epochs, 2)
    assert [request.kind for request in started] == ["score"]


def test_a_click_while_the_libraries_are_imported_leads_to_the_next_page(
    recorded, started, monkeypatch
):
    imported, choose = [], recorded_story.choose_settings

    def chosen(story):
        choose(story)
        imported.append(True)  # the thread is done before the click has been answered

    monkeypatch.setattr(warm, "is_ready", lambda: bool(imported))
    monkeypatch.setattr(warm, "watch", lambda: st.rerun() if imported else None)
    monkeypatch.setattr(recorded_story, "choose_settings", chosen)
    at = AppTest.from_file(str(ROOT / "explorer" / "main.py"), default_timeout=60).run()
    button(at, "Do it yourself").click().run()
    assert at.header[0].value == "Relevance" and len(started) == 1


def answers(before: str, after: str, rows: str = "same") -> Answers:
    return Answers("test", rows, tuple(map(str, range(len(before)))), before, after)


def seeds(*after: int, before=80, n=100) -> dict[int, Answers]:
    """Answers right in the first `before` rows, then in the first `after` ones, for each seed."""
    return {
        seed: answers("1" * before + "0" * (n - before), "1" * right + "0" * (n - right))
        for seed, right in zip(SEEDS, after, strict=True)
    }


def sentence(**methods) -> str:
    return forgetting.sentence(forgetting.measure("indonesian", methods))


def test_the_sentence_says_that_everything_forgot_and_what_kept_more():
    text = sentence(full=seeds(50, 54, 48, 52), circuit=seeds(78, 80, 79, 81))
    assert "training everything forgot: −0.29, 95 % −0.33 to −0.25" in text
    assert "(4 seeds; more texts lost than won in 4)" in text
    assert (
        "More remained with circuit +0.29 (p < 0.001)." in text
        and "No clear difference" not in text
    )


def test_the_sentence_says_that_there_is_no_effect_where_there_is_none():
    text = sentence(full=seeds(81, 78, 80, 82), circuit=seeds(79, 81, 80, 78))
    assert "training everything shows no clear forgetting" in text
    assert "more texts lost than won in 0)" in text and "No clear difference: circuit." in text
    assert "remained" not in text


def test_the_sentence_says_which_method_kept_less():
    assert "Less remained with random heads −0.20" in sentence(
        full=seeds(80, 80, 80, 80), random=seeds(60, 61, 59, 60)
    )


def test_two_seeds_give_no_interval_and_no_verdict():
    two = {seed: one for seed, one in seeds(50, 50, 50, 50).items() if seed < 3}
    text = sentence(full=two, circuit=two)
    assert "shows no clear forgetting: −0.30 (2 seeds;" in text and "95 %" not in text


@pytest.mark.parametrize(
    "methods",
    [
        {"circuit": seeds(80, 80, 80, 80)},
        {"full": seeds(80, 80, 80, 80), "circuit": {1: answers("1", "1", "other rows")}},
        {"full": seeds(80, 80, 80, 80), "circuit": {1: answers("1" * 100, "1" * 100)}},
    ],
    ids=["nothing to compare with", "other rows", "other seeds"],
)
def test_runs_that_were_not_measured_alike_say_nothing(methods):
    assert forgetting.measure("indonesian", methods) is None


def test_the_recorded_runs_of_the_program_are_whole():
    """Those in assets: readable, small, complete, and nothing in them tells of a machine."""
    folder = ROOT / "assets" / "recorded" / "demo"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 3 * 2**20
    absolute = re.compile(rb'"(/|[A-Z]:)[^ "]')  # a text that is a path of some machine
    assert absolute.search(b'{"cwd": "/home"}')
    for path in files:
        assert path.suffix == ".safetensors" or not absolute.search(path.read_bytes()), path
    requests = [json.loads((one / "request.json").read_text()) for one in runs_of(folder)]
    assert all(request["cwd"] == "" for request in requests)
    statuses = [json.loads((one / "status.json").read_text()) for one in runs_of(folder)]
    assert all(not status["host"] and not status["pid"] for status in statuses)


def test_the_recorded_runs_compare_five_methods_over_four_seeds(monkeypatch):
    monkeypatch.setattr(explorations, "RECORDED", ROOT / "assets" / "recorded")
    story = recorded_story.read()
    methods = story.by_method()
    assert list(methods) == list(recorded_story.METHODS)
    settings = {json.dumps({**run.summary["config"], "seed": 0, "hold": 0}) for run in story.runs}
    assert len(settings) == 1
    assert all(len({run.seed for run in of}) == 4 for of in methods.values())
    assert recorded_story.sentence(story)


def runs_of(folder: Path) -> list[Path]:
    return sorted((folder / "runs").iterdir())
