"""The report: one page that asks nothing of the network, foreign text only ever text, headings in
order; and what it says of run folders.
"""

import json
import re
from html.parser import HTMLParser

import pytest
import streamlit as st

from benchmarks.bench_compare import make
from ctsft import runs
from ctsft.jobs import tuning_table
from ctsft.jobs.experiment_design import Design
from ctsft.jobs.requests import ExperimentRequest, FaithfulnessRequest
from ctsft.plots.html_report import Code, Items, Section, Table, report
from ctsft.plots.run_frontier import run_frontier
from ctsft.runs import notes
from explorer.compare import report as exploration_report
from explorer.compare import report_content, table
from support.finetune_page import score, tuned
from support.html import NASTY, Tags, at_peace, rest, without_receipts


class Outline(HTMLParser):
    """Levels of the headings, ids, and texts as a reader sees them."""

    def __init__(self, page: str):
        super().__init__()
        self.levels, self.ids, self.links, self.text, self.hidden = [], [], [], [], False
        page = without_receipts(page)
        self.feed(rest(page) if "plotly.js v" in page else page)

    def handle_starttag(self, tag, attrs):
        of = dict(attrs)
        self.hidden = tag in ("script", "style")
        self.levels += [int(tag[1])] if re.fullmatch(r"h\d", tag) else []
        self.ids += [of["id"]] if "id" in of else []
        self.links += [of["href"]] if tag == "a" else []

    def handle_endtag(self, tag):
        self.hidden = False

    def handle_data(self, data):
        self.text += [] if self.hidden else [data]


def test_every_kind_of_block_and_all_of_it_text():
    page = report(
        NASTY,
        NASTY,
        [
            Section(
                NASTY,
                [
                    NASTY,
                    Table(NASTY, [NASTY], [[NASTY], ["+0.125"]]),
                    Code(NASTY),
                    Items([NASTY]),
                    run_frontier([]),
                ],
            ),
            Section("Two", [run_frontier([])]),
        ],
    )
    outline = Outline(page)
    assert (
        outline.levels == [1, 2, 2]
        and outline.links == ["#part-1", "#part-2"]
        and set(outline.ids) >= {"part-1", "part-2"}
    )
    tags = Tags(rest(page))
    assert (
        not tags.fetches
        and not tags.handlers
        and "img" not in tags.tags
        and tags.tags.count("script") == rest(page).count("Plotly.newPlot") + 1
    )
    assert sum(NASTY in text for text in outline.text) == 11, (
        "everywhere it stands, from the title to the list, it reads as written"
    )
    assert (
        page.count("plotly.js v") == 1
        and page.count('role="img"') == 2
        and '<td class="number">+0.125</td>' in page
    )
    assert (
        "@media print" in page
        and "prefers-color-scheme: dark" in page
        and '<html lang="en">' in page
    )
    assert "plotly" not in report("t", "l", [Section("s", ["no figure"])]).replace(
        "js-plotly-plot", ""
    )


@pytest.fixture
def session(view, monkeypatch):
    class Session(dict):
        __getattr__, __setattr__ = dict.__getitem__, dict.__setitem__

    session_state = Session(view=view)
    monkeypatch.setattr(st, "session_state", session_state)
    return session_state


def written(some=None) -> str:
    rows = some or tuning_table.table_rows()
    return exploration_report.write(
        report_content.gather(
            rows, dict(zip((row["run"] for row in rows), table.names(rows), strict=True))
        )
    )


def test_the_report_covers_an_exploration_from_model_to_commands(view, session):
    scored = score(view)
    request = FaithfulnessRequest(subject=view.subject, scores=scored.id, n_random=3)
    with runs.record(request) as run:
        for size, accuracy in ((0, 0.0), (2, 0.75), (12, 1.0)):
            run.event(kind="ranked", size=size, accuracy=accuracy, margin=accuracy)
            run.event(kind="random", size=size, accuracy=accuracy / 2, margin=accuracy / 2)
    first = tuned(view, after=(0.8, 0.7))
    tuned(view, "full", after=(0.5, 0.75))
    notes.save_note(first, NASTY[:80], f"my note {NASTY}")
    page = written()
    outline = Outline(page)
    text = " ".join(" ".join(outline.text).split())
    assert (
        outline.levels == [1] + [2] * 10
        and len(outline.links) == 10
        and page.count("plotly.js v") == 1
    )
    for expected in (
        "qwen2, 3 layers of 4 heads (2 key/value heads)",
        "negative, neutral, positive",
        "CD-T on 6 Indonesian texts",
        "L2.H3",
        "2 heads · top k.",
        "rank 1 by score",
        "the faithfulness of the 2 highest-scoring heads is 0.75; that of random circuits of this"
        " size is 0.38",
        "0.850 → 0.800",
        "Everything on javanese (target) 0.50 to 0.75",
        "60 Indonesian and 60 Javanese rows",
        "All runs have the same seed",
        "There are no runs here of: Near-zero heads, Random heads",
        "python -m ctsft faithfulness",
        f"--scores {scored.id}",
        "--what circuit",
        "The circuit of this report as a file",
        f"my note {NASTY}",
    ):
        assert expected in text, expected
    assert "\\" not in text.split("The circuit of this report as a file")[0].replace("\\n", ""), (
        "no sign of Markdown is left"
    )
    tags = Tags(rest(page))
    assert (
        not tags.fetches
        and not tags.handlers
        and not {"img", "link", "iframe"} & set(tags.tags)
        and tags.tags.count("script") == 1 + 5 + 1  # the receipts
    )
    assert at_peace(page.replace("<a ", "<b "))
    assert len(re.findall(r'role="img" aria-label="[^"]{30,}"', page)) == 5, (
        "map, two faithfulness curves, frontier, curves"
    )


def test_the_picture_and_its_sentence_come_first_and_fingerprints_last(view, session):
    tuned(view)
    tuned(view, "full", after=(0.5, 0.75)).add_facts(model_fingerprint="f00d")
    page = without_receipts(rest(written()))
    parts = [
        page.find(part)
        for part in (
            'aria-label="Change of target accuracy',
            "has the highest Indonesian accuracy",
            'aria-label="Contents"',
            "What was explored",
            "Run it again",
            "<h2>Fingerprints",
            "f00d",
        )
    ]
    assert parts == sorted(parts) and parts[0] > 0, parts


def test_missing_parts_are_reported(view, session):
    tuned(view, "norms", steps=10, result=False)
    text = " ".join(Outline(written()).text)
    assert (
        "heads of this model are not scored" in text
        and "No head was chosen" in text
        and "was not measured" in text
        and "Notes" not in text
    )


def test_an_experiment_is_a_table_of_means_and_its_own_command(view, session):
    make(runs.home(), 60)
    cells = [row for row in tuning_table.table_rows() if row["experiment"]]
    request = ExperimentRequest(design=Design(targets=["javanese"]), file="design.json")
    with runs.record(request, cells[0]["experiment"]):
        pass
    page = written(cells)
    text = " ".join(" ".join(Outline(page).text).split())
    assert (
        "Means over seeds ± standard deviation" in text
        and "By means over" in text
        and text.count("python -m ctsft") == 1
    )
    assert "python -m ctsft experiment design.json" in text and "3 seeds" in text
    assert len(json.dumps(Tags(without_receipts(rest(page))).tags)) < 40_000, (
        "fifty-two cells do not drown the page"
    )
