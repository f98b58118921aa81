"""Safe by default: no foreign code, no pickle, no file outside the folders that were named, foreign
text only ever text, this machine only.
"""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from ctsft import runs
from ctsft.data.registry import load_task
from ctsft.model.loading import load_model
from ctsft.plots import head_grid, score_agreement, score_charts
from ctsft.utils.errors import UserError
from explorer.session import circuit, saved_circuits
from explorer.text import markdown
from support.tasks import write_task
from support.tiny import tiny
from support.tokenizers import byte_level

ROOT = Path(__file__).resolve().parents[2]


CODE = [path for folder in ("ctsft", "explorer") for path in (ROOT / folder).rglob("*.py")]


NASTY = (
    '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script><a'
    ' href="javascript:alert(1)">x</a><b>b</b>'
)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A model whose weights are pickled."""
    model = tiny("llama", vocab_size=len(byte_level()))
    model.save_pretrained(tmp_path / "old")
    byte_level().save_pretrained(tmp_path / "old")
    (tmp_path / "old" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "old" / "pytorch_model.bin")
    return tmp_path / "old"


def test_a_pickle_is_refused_with_a_command_that_converts_it(folder):
    with pytest.raises(UserError, match=r"pickle only \(pytorch_model.bin\)") as refused:
        load_model(folder)
    words = shlex.split(re.search("`(.*)`", str(refused.value)).group(1))
    subprocess.run([sys.executable, *words[1:]], cwd=folder.parent, check=True, capture_output=True)
    model = load_model(folder.parent / "old-safetensors")
    assert (model.n_layers, model.n_heads) == (3, 4)


def test_a_pickle_beside_safetensors_is_not_read(folder):
    tiny("llama", vocab_size=len(byte_level())).save_pretrained(folder)
    (folder / "pytorch_model.bin").write_bytes(b"no pickle at all")
    assert load_model(folder).n_layers == 3


def test_a_models_own_code_never_runs(folder, tmp_path):
    tiny("llama", vocab_size=len(byte_level())).save_pretrained(folder)
    words, mark = json.loads((folder / "config.json").read_text()), tmp_path / "ran"
    (folder / "own.py").write_text(
        f"from pathlib import Path\nPath({str(mark)!r}).touch()\n"
        "from transformers import LlamaConfig\nclass Own(LlamaConfig):\n    model_type = 'own'\n"
    )
    (folder / "config.json").write_text(
        json.dumps(words | {"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}})
    )
    with pytest.raises(UserError):
        load_model(folder)
    assert not mark.exists()


def test_nothing_in_the_program_allows_foreign_code_or_reads_pickles():
    wrong = re.compile(
        r"trust_remote_code\s*=\s*True|import"
        r" pickle|torch\.load\((?![^()]*weights_only=True)|pickle\.load|\bexec\("
        r"|allow_pickle\s*=\s*True|unsafe_allow_html"
    )
    hits_by_file = {path.name: hits for path in CODE if (hits := wrong.findall(path.read_text()))}
    # it escapes every text that it is given (tests/explorer/setup/test_curve_panel.py)
    assert hits_by_file == {"curve_panel.py": ["unsafe_allow_html"]} and len(CODE) > 40
    assert wrong.search("torch.load(x)")
    assert wrong.search("torch.load(x, weights_only=False)")
    calls = [
        call
        for path in CODE
        for call in re.findall(r"\w+\.from_pretrained\((?:[^()]|\([^()]*\))*\)", path.read_text())
        # what a document tells the user of plain peft to type is no call of the program
        if "save_pretrained" not in call
        and "PeftModel" not in call
        and "{self.source!r}" not in call
    ]
    assert len(calls) >= 1 and all("trust_remote_code=False" in call for call in calls), calls


@pytest.mark.parametrize(
    "files",
    [
        "../{language}/{split}.csv",
        "/etc/{language}.csv",
        "{language}/../../secret.csv",
        "{language.__class__}.csv",
    ],
)
def test_a_task_file_names_files_below_its_folder_only(tmp_path, files):
    (tmp_path / "secret.csv").write_text("id,text,label\n1,secret,negative\n")
    path = write_task(tmp_path / "task", files=files)
    with pytest.raises(
        UserError, match="outside of the task's folder|cannot be filled in|does not exist"
    ):
        load_task(path).load("indonesian", "train")
    with pytest.raises(UserError, match="outside|cannot be"):
        load_task(path).splits("indonesian")


def test_a_language_is_no_way_out_either(tmp_path):
    (tmp_path / "train.csv").write_text("id,text,label\n1,secret,negative\n")
    path = write_task(tmp_path / "task", source="..", targets=["indonesian"])
    with pytest.raises(UserError, match="outside of the task's folder"):
        load_task(path).load("..", "train")


def test_a_data_folder_is_the_folder_that_was_named(tmp_path):
    path = write_task(tmp_path / "task")
    assert load_task(path, tmp_path / "task").load("indonesian", "train")
    with pytest.raises(UserError, match="outside"):
        load_task(
            write_task(tmp_path / "task", files="../other/{language}/{split}.csv"),
            tmp_path / "task",
        ).load("indonesian", "train")


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "a/b", "", "a\0b"])
def test_names_of_runs_and_circuits_cannot_leave_their_folders(name):
    with pytest.raises(UserError):
        runs.get(name)
    file_name = circuit.file_name(name)
    assert (
        Path(file_name).name == file_name
        and not file_name.startswith(".")
        and "\0" not in file_name
        and "/" not in file_name
    )


def figures():
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(2, 3)), [NASTY, "b"] * 3
    yield head_grid.head_grid(
        values, title=NASTY, hover=head_grid.hover_texts(values, {NASTY: values}, {(0, 0): NASTY})
    )
    yield score_charts.example_points(values.ravel(), labels, [NASTY] * 6, title=NASTY)
    yield score_charts.label_bars({NASTY: 1.0, "b": 2.0}, {NASTY: 0.1, "b": 0.1})
    yield score_charts.mean_bars(1.0, {NASTY: 1.0})
    yield score_agreement.score_scatter(values, values, (NASTY, "b"))


def shown_strings(value) -> list[str]:
    """Every string of a figure that the browser could read as HTML."""
    if isinstance(value, str):
        return [value]
    parts = (
        value.values()
        if isinstance(value, dict)
        else value
        if isinstance(value, list | tuple)
        else ()
    )
    return [text for part in parts for text in shown_strings(part)]


def test_foreign_text_is_text_in_every_figure_and_its_html_file():
    for fig in figures():
        words = json.loads(fig.to_json())
        # the description for screen readers is an attribute, not HTML
        [words["layout"].pop(name) for name in ("meta", "uirevision")]
        assert not [
            text for text in shown_strings(words) if re.search(r"<(img|script|a |b>b)", text)
        ]
        page = fig.to_html(include_plotlyjs=False)
        assert "<script>window.pwned" not in page and "<img src=x" not in page


def test_foreign_text_is_text_in_tables_and_captions():
    escaped = markdown.literal(NASTY + " $x$ :red[y] ![z](http://elsewhere)")
    assert not re.search(r"(?<!\\)[<>$\[\]!:]", escaped)


@pytest.mark.parametrize(
    "address",
    [
        "http://elsewhere.invalid/x",
        "HTTPS://elsewhere.invalid",
        "www.elsewhere.invalid",
        "someone@elsewhere.invalid",
    ],
)
def test_an_address_in_foreign_text_becomes_no_link(address):
    # what Streamlit's Markdown makes links of, escaped or not
    linked = re.compile(r"(?i)https?\\?://|www\\?\.|@\w")
    escaped = markdown.literal(f"look at {address} now")
    assert linked.search(address) and not linked.search(escaped)
    assert escaped.replace("\\", "").replace("\u2060", "") == f"look at {address} now", (
        "and reads the same"
    )


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..", "a/b", "", "a\0b", ".hidden", "C:\\x", "x" * 500]
)
def test_names_of_kept_circuits_stay_in_their_folder(name):
    path = saved_circuits.file_of(saved_circuits.valid_name(name))
    assert (
        path.parent == saved_circuits.folder()
        and path.suffix == ".json"
        and not path.name.startswith(".")
        and len(path.name) < 100
    )
    assert "\0" not in path.name and "\\" not in path.name


def test_the_server_is_this_machines_only_and_tells_nobody():
    words = tomllib.loads((ROOT / "explorer" / ".streamlit" / "config.toml").read_text())
    assert (
        words["server"]["address"] == "127.0.0.1" and words["browser"]["gatherUsageStats"] is False
    )
    assert words["server"]["maxUploadSize"] <= 50 and words["client"]["showErrorDetails"] == "none"
    # both are on unless switched off
    assert not {"enableCORS", "enableXsrfProtection"} & set(words["server"])


def test_an_error_becomes_markdown_at_one_door():
    """Elsewhere `st.error` would show what an error quotes as Markdown."""
    doors = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "explorer").rglob("*.py")
        if "st.error(" in path.read_text(encoding="utf-8")
    }
    assert doors == {"explorer/session/errors.py"}
