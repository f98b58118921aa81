"""The section Validation: CPR and CMD stand beside Spearman, and the ranking to trust is named."""

import copy
import json
from dataclasses import replace

import pytest

from ctsft import runs
from explorer.session.requests import validate_request
from support.pages import receipts, texts
from support.relevance_page import opened, scored


def area(value):
    return {"value": value, "low": value - 0.02, "high": value + 0.03}


def method(passes=2.0):
    overlap = [{"share": 0.02, "k": 1, "common": 1}]
    cost = {"seconds": 1.0, "forward_seconds": 0.5, "passes": passes}
    return {"spearman": 0.5, "overlap": overlap, "layers": [0.0] * 3, **cost}


REPORT = {
    "n_layers": 3,
    "n_heads": 4,
    "examples": 12,
    "rows": 90,
    "agreement": {"ablation": method(), "cdt": method()},
    "random": [],
    "curves": [],
    "stability": {},
    "areas": {
        "sizes": [0, 1, 12],
        "draws": 2000,
        "level": 0.95,
        "methods": {
            "ablation": {"cpr": area(1.04), "cmd": area(0.16)},
            "cdt": {"cpr": area(0.92), "cmd": area(0.09)},
        },
        "random": {"cpr": 0.4, "cmd": 0.61},
        "best": {
            "cpr": {"method": "ablation", "value": 1.04, "ties": []},
            "cmd": {"method": "cdt", "value": 0.09, "ties": []},
        },
    },
}


@pytest.fixture
def page(view):
    scored(view)

    def page(report):
        with runs.record(validate_request(view, 0, 0)) as run:
            run.file("result.json").write_text(json.dumps(report))
        return opened(replace(view, comparison="Validation"), "Compare")

    return page


def test_both_measures_with_intervals_and_what_they_say(page):
    app = page(REPORT)
    (table,) = [one.value for one in app.dataframe if "CPR" in one.value.columns]
    assert list(table.columns)[:4] == ["method", "Spearman", "CPR", "CMD"], "all in view"
    assert list(table["CPR"]) == ["1.04 (1.02–1.07)", "0.92 (0.90–0.95)"]
    assert list(table["CMD"])[1].startswith("0.09 (")
    assert "python -m ctsft validate" in receipts(app)
    said = texts(app)
    assert "CPR and CMD disagree: trust Mean ablation where" in said
    assert "and CD-T where the circuit should do what the model does (best CMD, 0.09)." in said
    assert "Random circuits: CPR 0.40, CMD 0.61." in said


def test_reports_without_areas_or_with_undefined_ones_are_shown(page):
    earlier = {key: value for key, value in REPORT.items() if key != "areas"}
    app = page(earlier)
    assert "CPR" not in texts(app)
    (table,) = [one.value for one in app.dataframe if "Spearman" in one.value.columns]
    assert "CPR" not in table.columns
    undefined = copy.deepcopy(REPORT)
    nothing = {"value": None, "low": None, "high": None}
    undefined["areas"]["methods"]["cdt"] = {"cpr": nothing, "cmd": nothing}
    undefined["areas"]["best"] = {"cpr": None, "cmd": None}
    undefined["areas"]["random"] = {"cpr": None, "cmd": None}
    app = page(undefined)
    (table,) = [one.value for one in app.dataframe if "CPR" in one.value.columns]
    assert list(table["CPR"])[1] == "undefined"
    assert "trust" not in texts(app)
