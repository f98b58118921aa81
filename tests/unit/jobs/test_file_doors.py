"""Every file that the program reads back is checked by type where it is read, and refused in one
short sentence.
"""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ctsft.attribution.means import Means
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.cli.main import main
from ctsft.jobs.advice import read_advice
from ctsft.jobs.experiment_design import read_design
from ctsft.jobs.request_parts import discovery_scoring
from ctsft.tuning.delta import Delta, apply_delta
from ctsft.utils.errors import UserError
from support.damaged_runs import ANYTHING

LONGEST = 600  # characters of a sentence, the file's path included


def refused(call) -> str:
    with pytest.raises(UserError) as error:
        call()
    text = str(error.value)
    assert "\n" not in text and len(text) < LONGEST, text
    return text


READERS = {
    "circuit.json": Circuit.load,
    "design.json": read_design,
    "scores.safetensors": Scores.load,
    "means.safetensors": Means.load,
    "delta.safetensors": Delta.load,
    "advice.csv": lambda path: read_advice(str(path)),
}


@pytest.mark.parametrize("content", ANYTHING)
@pytest.mark.parametrize("name", READERS)
def test_a_file_of_anything_is_refused_in_one_sentence(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(ANYTHING[content], errors="replace")
    assert str(path) in refused(lambda: READERS[name](path))


@pytest.mark.parametrize("name", READERS)
def test_what_is_no_ordinary_file_is_refused_in_one_sentence(tmp_path, name):
    path = tmp_path / name
    refused(lambda: READERS[name](path))
    path.mkdir()
    refused(lambda: READERS[name](path))
    path.rmdir()
    path.symlink_to("/dev/zero")
    refused(lambda: READERS[name](path))


HEADS = [{"layer": 0, "head": 1}]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({"heads": [{"layer": 0, "head": 1, "hed": 2}]}, "heads.0.hed"),
        ({"heads": HEADS, "colour": "red"}, "colour"),
        ({"heads": [{"layer": "0", "head": 1}]}, "heads.0.layer"),
        ({"heads": [{"layer": True, "head": 1}]}, "heads.0.layer"),
        ({"heads": [{"layer": -1, "head": 1}]}, "heads.0.layer"),
        ({"heads": [{"layer": 0, "head": 10**30}]}, "heads.0.head"),
        ({"heads": [{"layer": 0, "head": 0, "why": None}]}, "heads.0.why"),
        ({"heads": HEADS, "rule": {"name": "threshold"}}, "no threshold"),
        ({"heads": HEADS, "rule": {"name": "top", "k": "many"}}, "rule.k"),
        ({"heads": HEADS, "rule": {"name": "top"}}, "neither k nor fraction"),
        ({"heads": HEADS, "model": {"n_layers": 10**12}}, "model.n_layers"),
        ({"heads": HEADS, "added": [[0]]}, "added.0"),
        ({"heads": HEADS, "format": "ctsft-circuit-9"}, "format"),
        ({"heads": {"a": 1}}, "heads"),
    ],
)
def test_a_circuit_names_what_is_wrong(content, word):
    assert word in refused(lambda: Circuit.parse(json.dumps(content)))


def test_a_long_value_is_quoted_shortly():
    text = refused(lambda: Circuit.parse(json.dumps({"heads": "x" * 10**6})))
    assert "x" * 90 not in text and "…" in text


def test_a_right_circuit_is_read_as_it_was_written(tmp_path):
    circuit = Circuit(
        frozenset({(0, 1), (2, 3)}),
        {(0, 1): "rank 1", (2, 3): "added by hand"},
        {"model": "m", "n_layers": 3, "n_heads": 4},
        {"name": "top", "k": 2, "method": "cdt"},
        frozenset({(2, 3)}),
        edges=(((0, 1), "logits", 0.5),),
    )
    circuit.save(tmp_path / "c.json")
    again = Circuit.load(tmp_path / "c.json")
    assert again.text() == circuit.text() and again.edges == circuit.edges


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"targets": "beta"}, "targets"),
        ({"methods": "full"}, "methods"),
        ({"targets": ["beta", 3]}, "targets.1"),
        ({"n": ["25"]}, "n.0"),
        ({"seeds": [True]}, "seeds.0"),
        ({"k": 2.5}, "k"),
        ({"target": ["beta"]}, "target"),
        ({"settings": [{"epoch": 3}]}, "settings.0.epoch"),
        ({"settings": None}, "settings"),
        ({"n": list(range(1, 1001)), "seeds": list(range(1000))}, "trials"),
        ({"seeds": [1] * 10_000}, "seeds"),
    ],
)
def test_a_design_names_what_is_wrong(tmp_path, changes, word):
    path = tmp_path / "design.json"
    path.write_text(json.dumps({"targets": ["beta"]} | changes))
    assert word in refused(lambda: read_design(path))


@pytest.mark.parametrize("discovery", [{"size": "six"}, {"sice": 6}, {"method": 3}, {"k": [1]}])
def test_a_designs_discovery_is_checked_before_anything_is_loaded(tmp_path, capsys, discovery):
    path = tmp_path / "design.json"
    path.write_text(json.dumps({"targets": ["beta"], "discovery": discovery}))
    text = refused(lambda: discovery_scoring(read_design(path)))
    assert next(iter(discovery)) in text
    assert main(["experiment", str(path)]) == 2 and text in capsys.readouterr().err


@pytest.fixture
def scores(tmp_path):
    about = {"model_type": "qwen2", "n_layers": 3, "n_heads": 4}
    values = torch.rand(2, 3, 4)
    path = tmp_path / "scores.safetensors"
    Scores(values, ["a", "b"], ["x", "y"], "cdt", ScoreConfig(k=3), about, ["note"]).save(path)
    return path


@pytest.fixture
def means(tmp_path):
    path = tmp_path / "means.safetensors"
    value = torch.rand(3, 4, 8)
    Means(value, {"x": value - 1, "y": value + 1}, {"x": 2, "y": 3}).save(path)
    return path


@pytest.fixture
def delta(tmp_path, build):
    model = build("qwen2")
    name, norm = "model.layers.0.self_attn.o_proj.weight", "model.norm.weight"
    parameters = dict(model.hf.named_parameters())
    columns = torch.arange(8, dtype=torch.int32)
    tensors = {
        norm: parameters[norm] + 1,
        f"{name}:values": parameters[name][:, :8] + 1,
        f"{name}:columns": columns,
    }
    path = tmp_path / "delta.safetensors"
    Delta({"base": model.fingerprint, "what": "circuit", "kv": "group"}, tensors).save(path)
    return path


def rewrite(path, tensors=None, **changes):
    """Change a file's tensors (None: leave out) and the fields of its description."""
    with safe_open(path, "pt") as file:
        ((key, description),) = file.metadata().items()
    content = load_file(path) | (tensors or {})
    fields = json.loads(description) | changes
    fields = {name: value for name, value in fields.items() if value != "leave out"}
    remaining = {name: value for name, value in content.items() if value is not None}
    save_file(remaining, path, {key: json.dumps(fields)})


CHANGES = {
    "scores": [
        ({"per_example": None}, {}, "per_example"),
        ({"more": torch.zeros(1)}, {}, "more"),
        ({"per_example": torch.zeros(2, 3, 5)}, {}, "shape"),
        ({"per_example": torch.zeros(3, 3, 4)}, {}, "shape"),
        ({"per_example": torch.zeros(2, 3, 4, dtype=torch.int32)}, {}, "int32"),
        ({"per_example": torch.full((2, 3, 4), torch.inf)}, {}, "infinite"),
        ({}, {"config": {"stepz": 3}}, "stepz"),
        ({}, {"config": {"steps": "three"}}, "steps"),
        ({}, {"config": {"attention": "hard"}}, "attention"),
        ({}, {"labels": ["x"]}, "labels"),
        ({}, {"examples": "ab"}, "examples"),
        ({}, {"about": {"n_layers": "three"}}, "n_layers"),
        ({}, {"colour": 1}, "colour"),
        ({}, {"method": "leave out"}, "method"),
    ],
    "means": [
        ({"balanced": None}, {}, "balanced"),
        ({"label:y": None}, {}, "label:y"),
        ({"label:z": torch.zeros(3, 4, 8)}, {}, "label:z"),
        ({"label:y": torch.zeros(3, 4, 7)}, {}, "shape"),
        ({"balanced": torch.zeros(12)}, {}, "shape"),
        ({"balanced": torch.full((3, 4, 8), torch.nan)}, {}, "NaN"),
        ({}, {"positions": "some"}, "positions"),
        ({}, {"counts": {"x": "two", "y": 3}}, "counts.x"),
        ({}, {"counts": {}}, "counts"),
    ],
    "delta": [
        ({"model.norm.weight:half": torch.zeros(2)}, {}, "half"),
        ({"model.layers.0.self_attn.o_proj.weight:columns": None}, {}, "missing"),
        ({"model.layers.0.self_attn.o_proj.weight:values": None}, {}, "missing"),
        ({"model.layers.0.self_attn.o_proj.weight:values": torch.zeros(3, 3)}, {}, "shape"),
        ({"model.norm.weight": torch.zeros(3)}, {}, "shape"),
        ({"model.norm.weight": torch.full((32,), torch.nan)}, {}, "NaN"),
        ({"model.nothing.weight": torch.zeros(3)}, {}, "nothing"),
        (
            {"model.layers.0.self_attn.o_proj.weight:columns": torch.full((8,), 10**6)},
            {},
            "smaller",
        ),
        ({"model.layers.0.self_attn.o_proj.weight:columns": torch.zeros(8)}, {}, "indices"),
        ({"x:left": torch.zeros(3, 2)}, {}, "x:right"),
        ({}, {"kv": "both"}, "kv"),
        ({}, {"base": 3}, "base"),
        ({}, {"stacks": {"stack0": "a b"}}, "stack0"),
        ({}, {"colour": 1}, "colour"),
    ],
}


@pytest.mark.parametrize(
    ("name", "tensors", "fields", "word"),
    [(name, *change) for name, changes in CHANGES.items() for change in changes],
)
def test_a_file_of_tensors_names_what_is_wrong(request, build, name, tensors, fields, word):
    path = request.getfixturevalue(name)
    readers = {
        "scores": Scores.load,
        "means": Means.load,
        "delta": lambda path: apply_delta(build("qwen2"), path),
    }
    before = readers[name](path)  # the control
    assert before is not None
    rewrite(path, tensors, **fields)
    assert word in refused(lambda: readers[name](path))


@pytest.mark.parametrize(
    "row", ["0,0,nan,1,1,1", "0,-1,1,1,1,1", "0,99999999999,1,1,1,1", "0,0,1,1", "0,0,1,1,inf,1"]
)
def test_advice_names_what_is_wrong(tmp_path, row):
    path = tmp_path / "advice.csv"
    path.write_text(f"layer,head,value,gradient,fisher,rank\n{row}\n")
    assert "advice" in refused(lambda: read_advice(str(path)))
