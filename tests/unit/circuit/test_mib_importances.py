"""Scores as an importances.json: what MIB's loader (hannamw/EAP-IG, `Graph.from_json`, and its
selection of nodes) reads from it.
"""

import json
import math
import shutil

import pytest
import torch

from ctsft import Circuit, export_importances
from ctsft.circuit.mib_importances import FILE, importances
from ctsft.circuit.selection import select
from ctsft.jobs.export import push
from ctsft.model.loading import wrap
from support.errors import said
from support.scores import made
from support.shell import bad, newest
from support.tiny import tiny

VALUES = [[0.5, -0.9, 0.1, 0.0], [0.3, 0.2, -0.1, 0.7], [0.6, 0.4, -0.2, 0.05]]


def graph_nodes(cfg: dict) -> list[str]:
    """The names of the graph that the loader builds from a configuration, as it orders them."""
    names = ["input"]
    for layer in range(cfg["n_layers"]):
        names += [f"a{layer}.h{head}" for head in range(cfg["n_heads"])] + [f"m{layer}"]
    return [*names, "logits"]


def read(path) -> tuple[dict[str, float], dict[str, bool]]:
    """{node: score, NaN without one} and {node: in the graph}, as the loader has them.
    AssertionError for a file that it refuses, KeyError for a node that its graph lacks.
    """
    content = json.loads(path.read_text())
    assert {"cfg", "nodes", "edges"} <= content.keys()
    assert {"n_layers", "n_heads", "d_model", "parallel_attn_mlp"} <= content["cfg"].keys()
    names = graph_nodes(content["cfg"])
    scores = dict.fromkeys(names[:-1], math.nan)
    inside = dict.fromkeys(names[:-1], False)
    for name, node in content["nodes"].items():
        if name == "logits":
            continue
        inside[name] = {True: True, False: False}[node["in_graph"]]
        if name not in scores:
            raise KeyError(name)
        if "score" in node:
            scores[name] = float(node["score"])
    # with edges of their own, a graph would need each of them
    assert content["edges"] == {}
    return scores, inside


def top_nodes(scores: dict[str, float], n: int, absolute: bool) -> set[str]:
    """The nodes of the loader's circuit of n scored nodes: those without a score stay in it."""
    scored = [name for name, score in scores.items() if not math.isnan(score)]
    assert n <= len(scored)
    size = abs if absolute else float
    first = sorted(scored, key=lambda name: -size(scores[name]))[:n]
    return {*first, *(scores.keys() - set(scored))}


def node(head) -> str:
    return "a{}.h{}".format(*head)


@pytest.mark.parametrize(
    ("family", "parallel"), [("qwen2", False), ("gpt2", False), ("gpt_neox", True)]
)
def test_the_loader_reads_the_same_circuits(family, parallel, tokenizer, tmp_path):
    model, scores = wrap(tiny(family, vocab_size=len(tokenizer)), tokenizer), made(VALUES)
    path = export_importances(scores, model, tmp_path / "reviews_tiny")
    assert path == tmp_path / "reviews_tiny" / FILE
    read_scores, inside = read(path)
    cfg = json.loads(path.read_text())["cfg"]
    assert cfg == {
        "n_layers": 3,
        "n_heads": 4,
        "d_model": model.d_model,
        "parallel_attn_mlp": parallel,
    }
    rest = {"input", "m0", "m1", "m2"}
    for k in (0, 1, 5, 12):
        heads = {node(head) for head in select(scores, "top", k=k).heads}
        assert top_nodes(read_scores, k, absolute=False) == heads | rest
    assert top_nodes(read_scores, 1, absolute=True) == {"a0.h1", *rest}
    assert all(inside.values())


def test_a_circuit_is_in_the_graph_and_a_head_without_score_stays(loaded, tmp_path):
    values = torch.tensor(VALUES)
    values[2] = float("nan")
    circuit = Circuit(frozenset({(0, 1), (2, 3)}))
    path = export_importances(made(values.tolist()), loaded["qwen2"], tmp_path, circuit)
    scores, inside = read(path)
    assert {name for name, here in inside.items() if here and name[0] == "a"} == {"a0.h1", "a2.h3"}
    assert top_nodes(scores, 0, False) >= {"a2.h0", "a2.h3", "m1", "input"}
    assert "NaN" not in path.read_text()


def test_a_changed_file_is_not_read(loaded, tmp_path):
    path = export_importances(made(VALUES), loaded["qwen2"], tmp_path)
    content = json.loads(path.read_text())
    content["nodes"]["a3.h0"] = {"in_graph": True}
    path.write_text(json.dumps(content))
    with pytest.raises(KeyError):
        read(path)


def test_what_does_not_fit_is_refused_in_a_sentence(loaded, tokenizer, tmp_path):
    model, scores = loaded["qwen2"], made(VALUES)
    said(lambda: importances(made([[1.0, 2.0]]), model), "1 x 2 heads", "3 x 4")
    said(lambda: importances(scores, model, Circuit(frozenset({(9, 9)}))), "L9.H9")
    encoder = wrap(tiny("bert", vocab_size=len(tokenizer)), tokenizer)
    said(lambda: importances(scores, encoder), "encoder", "CSV")
    export_importances(scores, model, tmp_path)
    said(lambda: export_importances(scores, model, tmp_path), "exists")


def test_the_shell_writes_a_run_s_scores(shell, tiny_words, tmp_path):
    assert shell("score", *tiny_words, "--size", 6, "--method", "atp")[0] == 0
    run, folder = newest(), tmp_path / "reviews_tiny"
    code, out, err = shell("export", run.id, "--format", "importances", "--to", folder)
    assert (code, out.strip(), err) == (0, str(folder), [])
    scores, _ = read(folder / FILE)
    (first,) = top_nodes(scores, 1, False) - top_nodes(scores, 0, False)
    best = json.loads(run.file("result.json").read_text())["heads"][0]
    assert first == node((best["layer"], best["head"]))
    words = ("export", run.id, "--format", "importances", "--to", folder)
    bad(shell(*words), "empty folder")
    shutil.rmtree(folder)
    bad(shell(*words, "--share", 0.5), "scores have no share")
    bad(shell("export", run.id, "--to", folder), "no tuned model")
    said(lambda: push(run.id, "you/scores", form="importances"), "--to", "not uploaded")
    run.file("scores.safetensors").unlink()
    bad(shell(*words), "no scores to export")
    assert not folder.exists()
