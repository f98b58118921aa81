"""What the sections of Circuit share: the current circuit, and what it is selected from; no
streamlit.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ctsft import runs
from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.circuit import Circuit
from ctsft.model.model import Model
from explorer.session import circuit as session_circuit
from explorer.session import score_runs, start_runs


@dataclass(frozen=True)
class PageCircuit:
    """`affected`: heads outside the circuit whose key/value rows are trained with it, and why."""

    circuit: Circuit
    affected: Mapping[Head, str]
    model: Model
    scores: Scores
    is_preview: bool
    run: runs.Run | None

    @classmethod
    def current(cls, model: Model, scores: Scores, is_preview: bool) -> "PageCircuit":
        circuit = session_circuit.current(scores)
        run = score_runs.score_run(("done",)) or score_runs.score_run(start_runs.ACTIVE)
        return cls(
            circuit, session_circuit.trained_with(model, circuit), model, scores, is_preview, run
        )
