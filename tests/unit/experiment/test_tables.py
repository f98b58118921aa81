"""The tables of an experiment, in the layout of the papers."""

import pytest

from ctsft.experiment import (
    tables,
)
from support.experiment import ROWS, row


def test_tables_in_the_layout_of_the_papers():
    text = tables.markdown(ROWS, "id")
    lines = [
        [trial.strip() for trial in line.split("|")[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    assert lines[0] == ["target", "accuracy on", "before", "circuit", "full"]
    assert lines[2] == ["jv", "target", ".250", ".600 ± .141", ".400 ± .000"] and lines[3][:2] == [
        "su",
        "target",
    ]
    # seed 1 only: seed 2 lacks a target
    assert lines[4] == ["all targets", "target", ".250", ".400", ".300"]
    assert lines[5] == ["jv", "source", ".750", ".700 ± .000", ".400 ± .141"]
    assert (
        "| one | circuit − full | 1 seed | +.100 | +.300 | fewer than 3 languages or seeds |"
        in text
    )
    tex = tables.latex(ROWS)
    assert (
        r"jv & target & .250 & .600 $\pm$ .141 & .400 $\pm$ .000 \\" in tex
        and r"\multicolumn{2}{c}{$n=5$}" in tex
    )
    assert (
        tex.count("{") == tex.count("}") and "all targets" in tex and r"\_" in tables.escaped("a_b")
    )
    long = {(one["method"], one["target"], one["value"]): one for one in tables.long_table(ROWS)}
    assert long["circuit", "jv", "target_after"]["mean"] == 0.6 and long[
        "full", "jv", "forgetting"
    ]["mean"] == pytest.approx(0.35)
    assert (
        tables.as_csv(tables.long_table(ROWS)).splitlines()[0]
        == "setting,method,target,n,value,mean,sd,low,high,count,p"
        and tables.as_csv([]) == ""
        and tables.as_csv([one | {"shares": [{"share": 0.0}]} for one in ROWS])
        == tables.as_csv(ROWS)
    )


def test_languages_on_which_no_rate_was_chosen_have_a_table_of_their_own():
    rows = [
        row(method, target, seed, after + seed / 100 + i / 50, 0.5 + i / 10)
        for i, target in enumerate(("a", "b", "c", "d"))
        for method, after in (("full", 0.4), ("full_held", 0.6), ("circuit", 0.5))
        for seed in (1, 2)
    ]
    text = tables.markdown(rows, "id", ["a"])
    first, second = text.split("no learning rate was chosen (b, c, d)")
    assert "4 languages" in first and "3 languages" in second
    assert "full_held − circuit" in second and "4 languages" not in second
    assert "no learning rate" not in tables.markdown(rows, "id", ["a", "b"])
    assert "no learning rate" not in tables.markdown(rows, "id")
