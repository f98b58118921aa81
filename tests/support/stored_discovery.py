"""The run folder of a discovery that was not computed."""

from pathlib import Path

from benchmarks.ui_scenes import home_at
from ctsft import load_model, runs
from ctsft.circuit.circuit import Circuit
from explorer.session import requests
from explorer.session.view import View

EDGES = (
    ((5, 4), "logits", 0.9),
    ((4, 1), "logits", 0.5),
    ((3, 6), "logits", -0.4),
    ((2, 2), (5, 4), 0.3),
    ((1, 7), (4, 1), 0.2),
)


def write_discovery(home: Path):
    """A discovery with the default settings on the bundled model; it found the heads of `EDGES`."""
    fingerprint = load_model("demo").fingerprint
    about = {"model": "demo", "model_type": "qwen2", "n_layers": 6, "n_heads": 8, "n_kv_heads": 4}
    heads = {head: "edge" for head, _, _ in EDGES}
    rule = {"name": "discover", "depth": 1}
    circuit = Circuit(frozenset(heads), heads, about, rule, edges=EDGES)
    with home_at(home), runs.record(requests.discover_request(View())) as run:
        run.add_facts(model_fingerprint=fingerprint)
        circuit.save(run.file("circuit.json"))
