"""What the sections of Relevance share: the scores, and what belongs to them; no streamlit."""

from dataclasses import dataclass

from ctsft import runs
from ctsft.attribution.means import Means
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.data.task import Task
from ctsft.model.model import Model
from explorer.session import circuit as session_circuit
from explorer.session import score_runs, start_runs


@dataclass(frozen=True)
class PageScores:
    """The scores on the page, the run they are from, and the circuit that the current rule selects
    from them.
    """

    scores: Scores
    is_preview: bool
    run: runs.Run
    means: Means | None
    circuit: Circuit
    model: Model
    task: Task

    @classmethod
    def current(cls, model: Model, task: Task) -> "PageScores | None":
        """None where nothing is scored with the current settings."""
        scores, kind = score_runs.scores()
        if scores is None:
            return None
        session_circuit.select_first_head(scores, model.heads)
        run = score_runs.score_run(("done",)) or score_runs.score_run(start_runs.ACTIVE)
        return cls(
            scores,
            kind == "preview",
            run,
            score_runs.means_of(run),
            session_circuit.current(scores),
            model,
            task,
        )
