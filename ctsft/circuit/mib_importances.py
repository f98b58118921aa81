"""Scores of heads as an `importances.json` for the circuit track of MIB (arXiv 2504.13151), whose
program reads it with the graph of hannamw/EAP-IG (`eap/graph.py`, `Graph.from_json`).

    cfg     n_layers, n_heads, d_model, parallel_attn_mlp: the graph is built from these
    nodes   by name: input, a{layer}.h{head}, m{layer}, logits; each with in_graph, and a score
    edges   by name; empty here

This is the track's *node* level. A node without a score stays in every circuit there, and is not
counted among those that are ranked: so do input and MLPs here, which are never ablated. A head
without a score (NaN) stays as well. An edge level is not claimed: with no edge given, the loader
leaves every edge's score at 0, and the node level takes all edges between nodes of the circuit.
Nodes of the circuit, where one is given, are in the graph; otherwise all are. Sizes of MIB are
shares of the scored nodes, which are the heads.
"""

import json
from pathlib import Path

from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.circuit.selection import select
from ctsft.model.loading import as_model
from ctsft.model.model import Model
from ctsft.utils.atomic_files import write_text
from ctsft.utils.errors import UserError

FILE = "importances.json"


def importances(scores: Scores, model: Model, circuit: Circuit | None = None) -> dict:
    """The content of the file. UserError for scores or a circuit of another model, and for an
    encoder, which the track has no graph for.
    """
    for heads in (select(scores, "all"), *([circuit] if circuit else [])):
        heads.check(model)
    if len(model.heads) != scores.values.numel():
        raise UserError(
            f"These scores are of {' x '.join(map(str, scores.values.shape))} heads, and the model"
            f" has {model.n_layers} x {model.n_heads}; score this model."
        )
    if model.architecture.reads_first:
        raise UserError(
            f"MIB's circuit track reads decoders, and {model.model_type!r} is an encoder; use the"
            " scores as CSV or safetensors."
        )
    nodes = {"input": {"in_graph": True}}
    for layer in range(model.n_layers):
        for head in range(model.n_heads):
            node = {"in_graph": circuit is None or (layer, head) in circuit.heads}
            score = scores.values[layer, head].item()
            if score == score:  # not NaN
                node["score"] = score
            nodes[f"a{layer}.h{head}"] = node
        nodes[f"m{layer}"] = {"in_graph": True}
    nodes["logits"] = {"in_graph": True}
    shape = {
        "n_layers": model.n_layers,
        "n_heads": model.n_heads,
        "d_model": model.d_model,
        "parallel_attn_mlp": any(block.parallel for block in model.blocks),
    }
    return {"cfg": shape, "nodes": nodes, "edges": {}}


def importances_text(scores: Scores, model: Model, circuit: Circuit | None = None) -> str:
    """`importances` as the text of the file."""
    return json.dumps(importances(scores, model, circuit), allow_nan=False)


def export_importances(scores: Scores, model, folder, circuit: Circuit | None = None) -> Path:
    """Write `importances.json` to a folder, which is made where it is missing; returns the file.
    The track wants one folder for each task and model, such as `ioi_gpt2`. Errors as for
    `importances`; an existing file is not written over.
    """
    path = Path(folder) / FILE
    if path.exists():
        raise UserError(f"{str(path)!r} exists; name a new folder.")
    text = importances_text(scores, as_model(model), circuit)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text, "the importances")
    return path
