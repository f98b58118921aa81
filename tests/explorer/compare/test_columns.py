"""The columns of Compare's table: those of the result first, all on request, also while the
libraries are being imported.
"""

from dataclasses import replace

from streamlit.testing.v1 import AppTest

from explorer.compare import table, what_was_forgotten
from explorer.session import warm
from support.compare_page import PAGE, table_of
from support.finetune_page import tuned
from support.pages import APP, visit


def test_the_columns_of_the_result_are_shown_first_and_all_on_request(view):
    tuned(view)
    tuned(replace(view, n=12), "full", after=(0.5, 0.75))
    at = visit(view, PAGE)
    assert list(at.dataframe[0].proto.column_order) == [
        *("what", "n", "gain", "forgetting", "source accuracy", "target accuracy"),
        *("heads", "share"),
    ]
    widths = [column.get("width") for column in table.columns(table_of(at)).values()]
    assert sum(filter(None, widths)) < 900, "of 956 pixels beside the sidebar at 1280"
    at.toggle(key="w_compare_columns").set_value(True).run()
    assert not at.exception and not at.dataframe[0].proto.column_order
    assert {"source_lowest", "run"} < set(table_of(at))


def test_what_is_changed_before_the_libraries_are_loaded_stays(view, monkeypatch):
    tuned(view)
    tuned(view, "full", after=(0.5, 0.75))
    monkeypatch.setattr(warm, "watch", lambda: None)
    monkeypatch.setattr(warm, "is_ready", lambda: False)
    at = AppTest.from_file(str(APP), default_timeout=60).run()
    at.query_params.update({"compare-what": "circuit", "compare-order": "gain"})
    at.switch_page(PAGE).run()
    assert list(table_of(at)["what"]) == ["Circuit"]
    for early in (True, False):
        monkeypatch.setattr(warm, "is_ready", lambda early=early: not early)
        if early:
            at.toggle(key="w_compare_columns").set_value(True)
        at.run()
        chosen = at.session_state["view"]
        assert (chosen.compare_columns, chosen.compare_order) == (True, "gain")
        assert chosen.compare_what == ["circuit"]


def test_up_to_four_ways_of_tuning_fit_beside_the_lost_texts():
    widths = {ways: what_was_forgotten.text_width(ways) for ways in (1, 2, 4, 9)}
    assert widths == {1: 600, 2: 600, 4: 350, 9: 300}
    assert all(width + 80 + 130 * ways <= 956 for ways, width in widths.items() if ways <= 4)
