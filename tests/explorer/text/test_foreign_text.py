"""Text of unknown origin on every page: languages, labels, names, folders, errors and messages are
shown as text. Nothing in them becomes a picture, a link, HTML or a directive of Streamlit.
"""

import json
import re
from contextlib import suppress

import pytest
from google.protobuf.json_format import MessageToDict
from markdown_it import MarkdownIt

from ctsft import runs
from ctsft.runs import results
from explorer.session.requests import score_request
from explorer.session.view import View
from explorer.text import markdown
from support.finetune_page import score, tuned
from support.pages import visit
from support.tasks import cued, write_task

HOST = "evil.invalid"
NASTY = f"![x](http://{HOST}/a.png)<img src=x>[l](http://{HOST}) :red[y] $z$ www.{HOST} `c` _e_"
FOLDER = f"![x](http:evil.invalid)<b>:red[y] [l](data:{HOST})"
READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

# what Streamlit makes links of, escaped or not
ADDRESS = re.compile(rf"(?i)https?://{HOST}|www\.{HOST}|\w@{HOST}")
DIRECTIVE = re.compile(r"(?<!\\):red\[|(?<!\\)\$z")

# keys of an element whose texts Streamlit reads as Markdown
MARKDOWN_KEYS = {"body", "label", "help", "text", "content", "caption", "captions"}
NOT_MARKDOWN = {"html", "code", "arrow_data_frame", "plotly_chart", "text_area", "exception"}


def markdown_texts(at) -> list[str]:
    """Every text of a page that the browser would read as Markdown."""
    texts = []

    def collect(value, kind: str):
        if isinstance(value, list):
            for one in value:
                collect(one, kind)
        elif isinstance(value, dict):
            for key, inside in value.items():
                # the options of a select box are plain text, those of a radio are not
                markdown_options = key == "options" and kind in ("radio", "button_group")
                if isinstance(inside, str) and key in MARKDOWN_KEYS:
                    texts.append(inside)
                elif isinstance(inside, list) and (key in MARKDOWN_KEYS or markdown_options):
                    texts.extend(one for one in inside if isinstance(one, str))
                collect(inside, kind)

    def walk(block):
        for child in getattr(block, "children", {}).values():
            proto = getattr(child, "proto", None)
            kind = getattr(child, "type", "")
            if proto is not None and kind not in NOT_MARKDOWN:
                with suppress(AttributeError):  # a block without a message of its own
                    collect(MessageToDict(proto), kind)
            walk(child)

    walk(at._tree)
    return texts


def active(text: str) -> list[str]:
    """What a Markdown reader makes of a text, apart from text."""
    parts = []

    def look(tokens):
        for token in tokens:
            if token.type in ("image", "html_inline", "html_block"):
                parts.append(token.type)
            if token.type == "link_open" and HOST in str(token.attrs):
                parts.append("link")
            if token.type == "text":
                # Streamlit makes links of addresses, escaped or not
                parts.extend(
                    re.findall(rf"(?i)https?://{HOST}|www\.{HOST}|\w@{HOST}", token.content)
                )
            look(token.children or ())

    look(READER.parse(text))
    parts.extend(
        re.findall(r"(?<!\\):(?:red|material)[\[/]|(?<!\\)\$z", text) if HOST in text else ()
    )
    return parts


def test_the_reader_sees_what_is_not_escaped():
    for part in (NASTY, FOLDER, f"so [l](http://{HOST})", f"<b>{HOST}</b>", f":red[y] {HOST}"):
        assert active(part), part


@pytest.mark.parametrize("escape", [markdown.literal, markdown.literal_sentence])
@pytest.mark.parametrize(
    "text",
    [
        NASTY,
        FOLDER,
        "# a",
        "- a",
        "1. a",
        "1) a",
        "> a",
        "+ a",
        "a\n=\n\nb",
        "    a",
        "*a* **b** __c__ _d_ ~~e~~ `f` ``g`h``",
        "a\\*b* \\\\`x`",
        "&lt;b&gt; &#60;",
        "[a]: http://x.invalid",
        "|a|b|\n|-|-|\n|c|d|",
        ":smile: :material/home: a:b:c",
        "$x$ and $$y$$",
        f"me@{HOST} https://{HOST} HTTP://{HOST} www.{HOST}",
        "``![x](http://evil.invalid/a)` `",
        "--data-dir my_file_name.csv C:\\dir\\_x 12:30",
    ],
)
def test_an_escaped_text_reads_as_it_was(escape, text):
    shown = escape(text)
    assert not active(shown)
    (start, inline, _) = READER.parse(shown)
    assert start.type == "paragraph_open"
    assert {token.type for token in inline.children} <= {"text", "text_special"}
    plain = "".join(token.content for token in inline.children)
    invisible = dict.fromkeys(map(ord, "\u2060\u2066\u2067\u2068\u2069"))
    assert plain.translate(invisible) == " ".join(text.split())


@pytest.fixture
def nasty(folders, tmp_path) -> View:
    names = {"indonesian": "id", NASTY: "other", f"{NASTY}2": "third"}
    rows = {(name, split): cued(30, 1) for name in names.values() for split in ("train", "test")}
    path = write_task(
        tmp_path / FOLDER,
        rows,
        name=NASTY,
        source="indonesian",
        targets=[NASTY, f"{NASTY}2"],
        language_names=names,
    )
    return View(
        model=str(folders["qwen2"]),
        model_kind="folder",
        folder=str(folders["qwen2"]),
        task=str(path),
        task_kind="file",
        task_file=str(path),
        target=NASTY,
        split="train",
        n=24,
        k=2,
        preview_languages=[NASTY],
    )


PAGES = ("setup", "relevance", "circuit", "finetune", "compare")


def checked(at):
    texts = markdown_texts(at)
    assert not at.exception and texts
    wrong = {text[:300]: parts for text in texts if (parts := active(text))}
    assert not wrong, json.dumps(wrong, indent=1)
    return texts


@pytest.mark.parametrize("page", PAGES)
def test_names_of_languages_tasks_and_runs(nasty, page):
    score(nasty)
    tuned(nasty, name=NASTY)
    run = tuned(nasty, "full", name=f"{NASTY} 2", seed=7)
    results.result(run)
    checked(visit(nasty, f"{page}/page.py"))
    nasty.tune_tab = "Experiment"
    nasty.source, nasty.target = NASTY, "indonesian"
    checked(visit(nasty, f"{page}/page.py"))


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("change", ["task", "model", "data_dir"])
def test_errors_that_quote_folders(nasty, page, change):
    setattr(nasty, change, f"/nowhere/{FOLDER}" + (".json" if change == "task" else ""))
    assert any(HOST in text for text in checked(visit(nasty, f"{page}/page.py"))) or page in (
        "compare",
    )


def test_errors_that_quote_labels_and_rows(nasty, tmp_path):
    for i, changes in enumerate(({"labels": [NASTY, "b"]}, {"labels": ["neutral", NASTY]})):
        rows = {("indonesian", "train"): cued(9), ("indonesian", "test"): cued(9)}
        nasty.task = str(write_task(tmp_path / str(i), rows, targets=[], **changes))
        nasty.source = nasty.target = "indonesian"
        assert any(HOST in text for text in checked(visit(nasty, "setup/page.py")))


def test_messages_of_runs_that_failed(nasty):
    with pytest.raises(ValueError), runs.record(score_request(nasty)):
        raise ValueError(f"It is {NASTY}")
    for page in ("relevance", "circuit", "finetune"):
        assert any(HOST in text for text in checked(visit(nasty, f"{page}/page.py")))
    score(nasty)
    tuned(nasty, raising=ValueError(NASTY), name=NASTY)
    assert any(HOST in text for text in checked(visit(nasty, "finetune/page.py")))
