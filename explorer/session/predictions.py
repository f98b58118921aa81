"""What is known of the current circuit's faithfulness: measured by a run, or predicted by the
surrogate that a run fitted to these rows and means.
"""

from dataclasses import dataclass

import streamlit as st

from ctsft import runs
from ctsft.attribution.scores import Scores
from ctsft.cache.hashing import tensors_hash
from ctsft.circuit.circuit import Circuit
from ctsft.circuit.surrogate import FaithfulnessSurrogate, Prediction
from ctsft.jobs.requests import FaithfulnessRequest, SurrogateRequest, typed_runs
from ctsft.jobs.surrogate import FILE
from ctsft.plots import faithfulness
from ctsft.runs import results
from ctsft.utils.errors import UserError
from explorer.session import requests, score_runs
from explorer.session.binding import view
from explorer.session.circuit import circuit_path

WHAT = "Faithfulness of this circuit"
FINISHED = ("done", "stopped")  # states of a run that may have fitted a surrogate


@dataclass(frozen=True)
class Known:
    """Faithfulness of a circuit by `measure`, on `rows` rows, from a run."""

    prediction: Prediction
    measure: str
    rows: int
    run: runs.Run

    @property
    def interval(self) -> str:
        low, high = map(faithfulness.share_text, (self.prediction.low, self.prediction.high))
        return f"[{low}, {high}]"

    @property
    def value(self) -> str:
        return faithfulness.share_text(self.prediction.value)

    @property
    def note(self) -> str:
        """Beside the value, in a few words."""
        by = f"by {faithfulness.MEASURES[self.measure]}"
        if self.prediction.measured:
            return f"{by}, measured on {self.rows} rows"
        return f"{by}, predicted {self.interval}"

    @property
    def sentence(self) -> str:
        """Markdown."""
        by = f"by {faithfulness.MEASURES[self.measure]}"
        if self.prediction.measured:
            return f"{WHAT}: **{self.value}** (measured {by} on {self.rows} rows)"
        # a bracket after a word is the text of a link
        interval = self.interval.replace("[", "\\[").replace("]", "\\]")
        return f"{WHAT}: about **{self.value}** {interval} (predicted, {by})"


def known(circuit: Circuit, scores: Scores, scored: runs.Run | None) -> Known | None:
    """By the measure that is shown; a measurement counts more than a prediction."""
    if scored is None:
        return None
    measure = view().measure
    return _measured(circuit, scores, scored, measure) or _predicted(circuit, scored, measure)


def runs_beside(circuit: Circuit, scores: Scores, scored: runs.Run) -> list[runs.Run]:
    """The runs of the faithfulness figures beside a map of these scores."""
    of_circuit = known(circuit, scores, scored)
    sources = [score_runs.curve_of(scored, ("done",)), of_circuit.run if of_circuit else None]
    return [run for run in sources if run]


def measuring(circuit: Circuit, scored: runs.Run, states: tuple[str, ...]) -> runs.Run | None:
    """The newest run that measures exactly this circuit."""
    path = circuit_path(circuit.heads)

    def same(request: FaithfulnessRequest) -> bool:
        return request.scores == scored.id and request.circuit == str(path)

    return score_runs.find_run("faithfulness", same, states)


def _measured(circuit: Circuit, scores: Scores, scored: runs.Run, measure: str) -> Known | None:
    run = measuring(circuit, scored, ("done",))
    if run is not None and run.file("result.json").is_file():
        result = results.result(run)
        if isinstance(result.get(measure), float | int):
            return Known(_exactly(result[measure]), measure, result["rows"], run)
    curve = score_runs.curve_of(scored, ("done",))
    size = len(circuit)
    if curve is None or circuit.heads != frozenset(scores.ranking()[:size]):
        return None
    for row in faithfulness.curve_rows(curve.events()):
        if row["kind"] == "ranked" and row["size"] == size and row[measure] == row[measure]:
            rows = results.result(curve).get("rows", 0)
            return Known(_exactly(row[measure]), measure, rows, curve)
    return None


def _exactly(value: float) -> Prediction:
    return Prediction(value, value, value, measured=True)


def _predicted(circuit: Circuit, scored: runs.Run, measure: str) -> Known | None:
    run = surrogate_run(scored, FINISHED)
    surrogate = surrogate_of(run)
    if surrogate is None or measure not in surrogate.measures:
        return None
    try:
        prediction = surrogate.predict(circuit.heads, measure)
    except UserError:  # a file of another model's run, exchanged by hand
        return None
    return Known(prediction, measure, len(surrogate.sets.gold), run)


def surrogate_run(scored: runs.Run, states: tuple[str, ...]) -> runs.Run | None:
    """The newest surrogate run on the view's rows, with the means of a scoring run: of the same
    one, or of another one with the same discovery set.
    """
    subject = requests.surrogate_request(view(), scored.id).subject
    means = score_runs.means_of(scored)
    digest = tensors_hash({"": means.values}) if means else ""

    def same(run: runs.Run, request: SurrogateRequest) -> bool:
        if request.subject != subject:
            return False
        return request.scores == scored.id or results.result(run).get("means") == digest

    for run, request in typed_runs("surrogate"):
        if run.status().state in states and same(run, request):
            return run
    return None


def surrogate_of_rows(scored: runs.Run) -> FaithfulnessSurrogate | None:
    """That of the view's rows; None without one that can be read."""
    return surrogate_of(surrogate_run(scored, FINISHED))


def surrogate_of(run: runs.Run | None) -> FaithfulnessSurrogate | None:
    path = run.file(FILE) if run else None
    return _read(str(path), path.stat().st_mtime) if path and path.is_file() else None


@st.cache_resource(show_spinner=False, max_entries=8)
def _read(path: str, changed: float) -> FaithfulnessSurrogate | None:
    try:
        surrogate = FaithfulnessSurrogate.load(path)
    except UserError:  # the run's folder was damaged, or it is of an earlier version
        return None
    _ = surrogate.process.coefficients  # before the first click, not after it
    return surrogate
