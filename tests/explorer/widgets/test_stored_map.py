"""The map of stored scores is a page's first screen: drawn in a fresh process without torch, from
the run that the page itself would show.
"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from explorer.session.view import View
from explorer.widgets import stored_map
from support.finetune_page import score
from support.recorded import show_recorded

ROOT = Path(__file__).resolve().parents[3]
COLD = """
import json, sys
from explorer.session import warm
warm.watch = lambda: None  # what completes the page imports them
from streamlit.testing.v1 import AppTest
from ctsft.runs import explorations
from explorer.session.view import View
from pathlib import Path
explorations.RECORDED = Path("nowhere")
at = AppTest.from_file(sys.argv[1], default_timeout=60)
at.session_state["view"] = View(**json.loads(sys.argv[2]))
at.run()
seen = {}
for page in ("relevance", "circuit"):
    at.switch_page(f"{page}/page.py").run()
    spec = [json.loads(chart.proto.spec) for chart in at.get("plotly_chart")]
    seen[page] = {
        "titles": [one["layout"]["title"]["text"] for one in spec],
        "receipts": "".join(one.proto.body for one in at.get("html")),
        "heavy": sorted({"torch", "transformers", "scipy.stats"} & set(sys.modules)),
        "errors": len(at.exception) + len(at.error),
    }
print(json.dumps(seen))
"""


@pytest.fixture
def view(finetune_view) -> View:
    finetune_view.size = 6
    return finetune_view


def test_the_map_is_drawn_without_torch(view):
    run = score(view)
    fields = {name: getattr(view, name) for name in ("model", "task", "target", "size")}
    done = subprocess.run(
        [sys.executable, "-c", COLD, str(ROOT / "explorer" / "main.py"), json.dumps(fields)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    seen = json.loads(done.stdout.splitlines()[-1])
    for page in ("relevance", "circuit"):
        assert f"<dd>{run.id}</dd>" in seen[page].pop("receipts")
        assert seen[page] == {"titles": ["CD-T, 6 examples"], "heavy": [], "errors": 0}


@pytest.fixture
def of_session(view, monkeypatch):
    """The view is the session's."""
    monkeypatch.setattr(stored_map.binding, "view", lambda: view)
    return view


@pytest.mark.parametrize(
    "other",
    [
        *({"model": "demo"}, {"source": "javanese"}, {"split": "valid"}, {"size": 7}),
        *({"pool_seed": 1}, {"method": "atp"}, {"rules": "symmetric"}, {"present": "map"}),
    ],
)
def test_only_the_scores_of_these_settings_are_shown(of_session, monkeypatch, other):
    score(of_session)
    stored = stored_map.find({})
    assert (stored.method, stored.examples, stored.values.shape) == ("cdt", 6, (3, 4))
    monkeypatch.setattr(stored_map.binding, "view", lambda: replace(of_session, **other))
    assert stored_map.find({}) is None


def test_an_address_names_the_scores(of_session, monkeypatch):
    score(of_session)
    monkeypatch.setattr(stored_map.binding, "view", View)
    query = {"model": of_session.model, "task": of_session.task, "n": "6", "head": "1.2"}
    assert stored_map.find(query | {"flip": "1"}).flip and not stored_map.find(query).flip
    for change in ({"n": "x"}, {"n": "7"}, {"map": "removal"}, {"task": "demo"}):
        assert stored_map.find(query | change) is None


def test_of_recorded_scores_only_those_of_a_recorded_model_are_shown(monkeypatch):
    """The page scores the bundled model itself, and needs no settings of a recorded one."""
    show_recorded(monkeypatch)
    monkeypatch.setattr(stored_map.binding, "view", View)
    stored = stored_map.find({"model": "recorded/SmolLM2-135M"})
    assert (stored.run.id, stored.examples, stored.values.shape) == ("smollm2-cdt", 12, (30, 9))
    assert stored_map.find({"model": "recorded/SmolLM2-135M", "n": "30"}) is None
    assert stored_map.find({}) is None


@pytest.mark.parametrize("name", ["scores.safetensors", "request.json"])
def test_a_damaged_file_is_left_to_the_page(of_session, name):
    score(of_session).file(name).write_text("{}")
    assert stored_map.find({}) is None
