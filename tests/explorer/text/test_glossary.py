"""Every term says where it comes from, and every number of the pages has a definition on hover."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from ctsft.attribution.methods import METHODS
from ctsft.tuning.recipes import RECIPES
from explorer.compare import table as compare_table
from explorer.relevance import validation
from explorer.text import circuit_rules, glossary
from explorer.text.glossary import TERMS
from support.finetune_page import score, tuned
from support.pages import visit

SOURCE = re.compile(
    r"arXiv \d{4}\.\d{5}|this program's own|(Elhage et al\.|Spearman|Jaccard|Holm|McNemar) \d{4}"
)


LISTED = (
    "relevance",
    "method",
    "patterns",
    "cross terms",
    "discovery set",
    "mean",
    "readout",
    "pattern",
    "direct effect",
    "circuit",
    "faithfulness",
    "measure",
    "accuracy",
    "jaccard",
    "depth",
    "kv",
    "trainable",
    "recipes",
    "seed",
    "n",
    "source",
    "target",
    "related",
    "source change",
    "target change",
    "frontier",
    "interval",
    "advice",
    "target gradient",
    "source loss",
    "spearman",
    "stability",
    "competence",
    "mcnemar",
    "change",
    "experiment",
)


PAGES = [f"{name}/page.py" for name in ("setup", "relevance", "circuit", "finetune", "compare")]


@pytest.fixture
def view(finetune_view):
    return finetune_view


@pytest.mark.parametrize("term", sorted({*LISTED, *TERMS}))
def test_a_term_has_a_source(term):
    assert SOURCE.search(TERMS[term]), TERMS[term]
    assert not re.search(r"(CD-T|CT-SFT), arXiv \S+, section", TERMS[term]), (
        "its sections are not known for certain"
    )


def test_every_rule_and_method_has_one():
    assert {*circuit_rules.RULES, *circuit_rules.DISCOVERED} <= set(TERMS)
    assert set(METHODS) == {"cdt", "atp", "ig", "ablation", "learned"} and all(
        SOURCE.search(method.description) for method in METHODS.values()
    )
    assert not SOURCE.search("A number without a source.") and RECIPES


def without_help(at: AppTest) -> list[str]:
    """Metrics, sliders, number fields and number columns that nothing explains."""
    unexplained = [one.label for one in at.metric if not one.proto.help]
    unexplained += [one.label for one in [*at.slider, *at.number_input] if not one.help]
    for table in at.dataframe:
        config = json.loads(table.proto.columns or "{}")
        unexplained += [
            name
            for name in table.value.select_dtypes("number").columns
            if not config.get(name, {}).get("help")
        ]
    return unexplained


@pytest.mark.parametrize("page", PAGES)
def test_every_number_of_a_page_is_explained(view, page):
    score(view)
    tuned(view)
    at = visit(view, page)
    assert not at.exception and without_help(at) == []
    if page == PAGES[2]:
        for rule in ("threshold", "fraction", "random"):
            at.segmented_control(key="w_rule").set_value(rule).run()
            assert without_help(at) == []


def bare():
    import pandas as pd
    import streamlit as st

    st.metric("bare", 1)
    st.dataframe(pd.DataFrame({"naked": [1.0]}))


def test_the_check_sees_a_bare_number():
    assert without_help(AppTest.from_function(bare, default_timeout=60).run()) == ["bare", "naked"]


def test_columns_of_numbers_that_come_late_are_explained():
    assert all(
        column.get("help")
        for column in [*validation.COLUMNS.values(), *validation.STABILITY_COLUMNS.values()]
    )
    frame = pd.DataFrame(columns=[*compare_table.OUTCOMES, *compare_table.SETTINGS, "lora_rank"])
    assert all(column.get("help") for column in compare_table.columns(frame).values())


def test_the_glossary_of_the_docs_is_up_to_date():
    page = Path(glossary.__file__).parents[2] / "docs" / "glossary.md"
    assert page.read_text(encoding="utf-8") == glossary.glossary_page(), (
        "python -m explorer.text.glossary > docs/glossary.md"
    )
    titles = [term.title for terms in glossary.SECTIONS.values() for term in terms.values()]
    assert len(titles) == len(set(titles)) == len(TERMS), "one term, one place"
