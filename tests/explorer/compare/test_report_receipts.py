"""The report's receipts: every result has one, all of them are computed again from the run folders,
and a changed number is found, whatever else was changed to fit.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import streamlit as st

from ctsft import runs
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.cli.main import main
from ctsft.jobs import tuning_table
from ctsft.receipts.claims import DIFFERENT, EQUAL, NOT_RECOMPUTABLE
from ctsft.receipts.report_file import digest, read_page
from ctsft.receipts.verify import Settings, verify
from ctsft.utils.figures import DECIMAL
from explorer.compare import report as exploration_report
from explorer.compare import report_content, table
from explorer.session.view import View
from support.recorded import RUNS, show_recorded

AT_RUNS = Settings(runs=RUNS)


@pytest.fixture(scope="module")
def page() -> str:
    """The report on the recorded runs."""

    class Session(dict):
        __getattr__, __setattr__ = dict.__getitem__, dict.__setitem__

    with pytest.MonkeyPatch.context() as patch:
        show_recorded(patch)
        patch.setattr(st, "session_state", Session(view=View()))
        rows = tuning_table.table_rows(recorded=True)
        names = dict(zip((row["run"] for row in rows), table.names(rows), strict=True))
        scored = runs.get("demo-scores")
        exploration = replace(
            report_content.gather(rows, names),
            score_run=scored,
            scores=Scores.load(scored.file("scores.safetensors")),
            circuit=Circuit.load(runs.get("demo-circuit-31").file("circuit.json")),
        )
        return exploration_report.write(exploration)


def written(tmp_path, text: str) -> Path:
    path = tmp_path / "report.html"
    path.write_text(text, encoding="utf-8")
    return path


def fixed(text: str) -> str:
    """The page with the hash of its other text as it is now."""
    page = read_page(text)
    block = json.loads(page.block)
    block["text"], block["drawings"] = digest(page.text), [digest(one) for one in page.drawings]
    return with_block(text, block)


def with_block(text: str, block: dict) -> str:
    head, _, rest = text.rpartition('<script type="application/json" id="receipts">')
    _, end, tail = rest.partition("</script>")
    content = json.dumps(block).replace("<", "\\u003c")
    return f'{head}<script type="application/json" id="receipts">{content}{end}{tail}'


def in_block(change):
    def apply(text: str) -> str:
        block = json.loads(read_page(text).block)
        change(block)
        return with_block(text, block)

    return apply


def once(pattern: str, new, count: int = 1):
    """The first place of a pattern replaced, and the hashes fixed."""

    def apply(text: str) -> str:
        changed, n = re.subn(pattern, new, text, count=count)
        assert n, pattern
        return fixed(changed)

    return apply


def shown(before: str, new: str, value: str | None = None):
    """The figure behind a text shows something else; value: in its element too."""

    def apply(text: str) -> str:
        match = re.search(before + r'<data value="([^"]*)"[^>]*>([^<]*)</data>', text)
        assert match, before
        element = match[0]
        other = element[: element.rindex(">", 0, -7) + 1] + new + "</data>"
        if value is not None:
            other = other.replace(f'value="{match[1]}"', f'value="{value}"')
        return fixed(text.replace(element, other, 1))

    return apply


def chart_points(change):
    """The numbers of the first series of the curves."""

    def apply(text: str) -> str:
        start = text.rindex("Plotly.newPlot(")
        place = re.compile(r'"y":\[([^\]]*)\]').search(text, start)
        values = place[1].split(",")
        return fixed(text[: place.start(1)] + ",".join(change(values)) + text[place.end(1) :])

    return apply


def swapped(values: list[str]) -> list[str]:
    """The lowest and the highest in each other's place."""
    low, high = (values.index(pick(values, key=float)) for pick in (min, max))
    values[low], values[high] = values[high], values[low]
    return values


def other_run(block: dict):
    """A figure of another run, where the text stands for the first one."""
    node = next(one for one in block["figures"] if one[0] == "gain")
    node[1] = ["demo-full-31" if node[1] != ["demo-full-31"] else "demo-circuit-31"]


TAMPERED = {
    "a mean in a sentence": shown(r"gained most on the target \(", "+0.094"),
    "its sign": shown(r"forgot least of the source \(", "+0.006"),
    "an end of an interval": shown(r"95 % \[", "+0.010"),
    "a p value": shown(r"ahead of the next, p = ", "0.04"),
    "text and value": shown(r"gained most on the target \(", "+0.094", "0.094"),
    "the value only": once(r'<data value="[^"]*"', '<data value="1"'),
    "an accuracy in the table": once(r">0\.600</data>", ">0.601</data>"),
    "a deviation in the table": once(r"(± <data[^>]*>)0\.0\d\d", r"\g<1>0.001"),
    "a share of parameters": once(r">2\.47%</data>", ">2.57%</data>"),
    "a score": once(r">1\.9</data>", ">1.8</data>"),
    "a number under a chart": once(r"(largest target change \(<data[^>]*>)\+0\.06", r"\1+0.16"),
    "a point of a chart": chart_points(lambda values: ["0.9", *values[1:]]),
    "two points of a chart": chart_points(swapped),
    "a chart without a point": chart_points(lambda values: values[1:]),
    "a number without its receipt": once(r"<data value[^>]*>(0\.\d\d\d)</data>", r"0.123"),
    "the seed of a receipt": in_block(lambda block: block["runs"]["demo-full-31"].update(seed=777)),
    "the rows of a receipt": in_block(
        lambda block: block["runs"]["demo-full-31"]["rows"][0].update(count=4000)
    ),
    "the model of a receipt": in_block(
        lambda block: block["runs"]["demo-full-31"].update(model_fingerprint="0" * 16)
    ),
    "the command of a receipt": in_block(
        lambda block: block["runs"]["demo-full-31"].update(command="python -m ctsft score")
    ),
    "a figure of another run": in_block(other_run),
    "a setting": lambda text: text.replace("learning rate 0.003", "learning rate 0.001", 1),
    "a word": lambda text: text.replace("forgot least", "forgot most", 1),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_changed_report_is_found(page, tmp_path, name):
    changed = TAMPERED[name](page)
    assert changed != page
    assert verify(written(tmp_path, changed), AT_RUNS).counts[DIFFERENT] >= 1


def test_an_untouched_report_is_equal_and_complete(page, tmp_path):
    verification = verify(written(tmp_path, page), AT_RUNS)
    assert verification.counts[DIFFERENT] == verification.counts[NOT_RECOMPUTABLE] == 0
    assert verification.counts[EQUAL] == verification.figures > 500
    assert verify(written(tmp_path, fixed(page)), AT_RUNS).counts == verification.counts
    read = read_page(page)
    assert DECIMAL.findall(read.results) == [] and len(read.figures) > 80
    for figure in read.figures:
        for part in ("command: python -m ctsft", "run: demo-", "rows:", "seed:", "model: 0754f69"):
            assert part in figure.title, (figure.text, part)
        assert re.search(r"interval: (\[.*\], 95 %|none: \w)", figure.title), figure


def test_without_its_runs_a_report_is_not_recomputable(page, tmp_path):
    verification = verify(written(tmp_path, page))
    assert verification.counts[DIFFERENT] == 0 and verification.counts[NOT_RECOMPUTABLE] > 500
    assert "open its bundle" in verification.text()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("foreign.html", b"<html><body>0.5</body></html>", "holds no receipts"),
        ("other.html", b"\xff\xfe\x00", "cannot be read (not text in UTF-8)"),
        ("torn.html", b'<script id="receipts">{"format": 1</script>', "cannot be read"),
        (
            "next.html",
            b'<script id="receipts">{"format": 2, "figures": [], "runs": {}}</script>',
            "format",
        ),
        ("none.zip", b"PK", "cannot be opened"),
        ("notes.txt", b"0.5", "cannot be verified"),
        (None, b"", "does not exist"),
    ],
)
def test_what_cannot_be_verified_is_one_sentence(tmp_path, capsys, name, content, said):
    path = tmp_path / (name or "missing")
    if name:
        path.write_bytes(content)
    assert main(["verify", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and "Traceback" not in line


def test_the_shell_says_what_differs_with_exit_code_one(page, tmp_path, capsys):
    path = written(tmp_path, TAMPERED["a mean in a sentence"](page))
    assert main(["verify", str(path), "--runs", str(RUNS)]) == 1
    assert "different: “…" in capsys.readouterr().out
    assert main(["verify", str(written(tmp_path, page)), "--runs", str(RUNS), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["different"] == 0
    assert main(["verify", str(path), "--runs", str(tmp_path / "nowhere")]) == 2
    assert main(["verify", str(path), "--sample", "0"]) == 2
