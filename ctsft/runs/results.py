"""What a run left behind: its summary, and its evaluations, each checked by type here, so that no
page and no table meets anything else.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ctsft.runs.folder import Run
from ctsft.utils.errors import UserError, quoted
from ctsft.utils.json_files import parse_json, problem, read_regular, reason_of

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)] | None  # null in result.json: measured on no rows
Number = Annotated[float, Field(allow_inf_nan=False)] | None


class _Part(BaseModel):
    """A part of a summary; fields that no reader needs may be there too."""

    model_config = ConfigDict(extra="allow")


class Metrics(_Part):
    accuracy: float | None
    right: str = Field("", pattern="^[01]*$")  # of each row: "1" right, "0" wrong


class Perplexity(_Part):
    perplexity: Annotated[float, Field(ge=1, allow_inf_nan=False)]
    tokens: Count
    texts: Count


class Measurement(_Part):
    """A row of a tuning run's history."""

    step: Count
    accuracy: dict[str, Share] | None = None
    metrics: dict[str, Metrics] | None = None
    perplexity: dict[str, Perplexity] | None = None
    steps: Count | None = None
    seconds: Number = None
    loss: float | None = None


class Evaluation(Measurement):
    """The same as an event."""

    accuracy: dict[str, Share] = Field(min_length=1)


class Ends(_Part):
    """Metrics of each language before and after tuning."""

    before: dict[str, Metrics]
    after: dict[str, Metrics]


class FinalEnds(Ends):
    split: str


class OutsideOf(_Part):
    """How much of the model stands outside of what was trained, and has the checkpoint's bits."""

    parameters: Count
    identical: Count
    text: str


class SharePoint(_Part):
    share: Annotated[float, Field(ge=0, le=1)]
    accuracy: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(min_length=1)


class SharesOf(_Part):
    """Shares of a change, 0 the first and 1 the last, with the accuracies of each."""

    split: str
    rows: dict[str, Count]
    points: list[SharePoint] = Field(min_length=2)

    @model_validator(mode="after")
    def _ends(self):
        if (self.points[0].share, self.points[-1].share) != (0, 1):
            raise ValueError("shares go from 0 to 1")
        if any(point.accuracy.keys() != self.rows.keys() for point in self.points):
            raise ValueError("each share has the accuracies of the languages in rows")
        return self


class PerplexityEnds(_Part):
    """Before and after tuning, of the same texts."""

    texts: str
    rows: Count
    tokens: Count
    before: Annotated[float, Field(ge=1, allow_inf_nan=False)]
    after: Annotated[float, Field(ge=1, allow_inf_nan=False)]


class MeasuredRows(_Part):
    hash: str
    ids: list[str]


class Answered(_Part):
    """Which rows the figures before and after tuning are of, by language."""

    split: str
    rows: dict[str, MeasuredRows]


class Tuned(_Part):
    """The summary of a tuning run."""

    source: str | None = None
    target: str | None = None
    trainable: Count | None = None
    total: Annotated[int, Field(gt=0)] | None = None
    heads: Count | None = None
    n: Count | None = None
    rows: dict[str, Count] = {}
    config: dict = {}
    history: list[Measurement] = []
    final: FinalEnds | None = None
    answered: Answered | None = None
    cell: dict | None = None
    outside: OutsideOf | None = None
    shares: SharesOf | None = None
    perplexity: PerplexityEnds | None = None


class HeadOf(_Part):
    layer: Count
    head: Count


class Scored(_Part):
    """The summary of a scoring run."""

    model: str
    task: str
    language: str
    n_layers: Count
    n_heads: Count
    heads: list[HeadOf]


class Discovered(_Part):
    heads: list[HeadOf]


class Advised(_Part):
    heads: list[HeadOf]
    target: str
    k: Count


class ChangeOf(_Part):
    layer: Count | None
    head: Count | str
    change: float
    of: float


class Rescored(_Part):
    spearman: Number
    k: Count
    stayed: list[tuple[int, int]]
    left: list[tuple[int, int]]
    came: list[tuple[int, int]]
    changes: list[ChangeOf]
    right: float
    examples: Count


class Measured(_Part):
    """The summary of a faithfulness run: a circuit's, or the points of a curve."""

    rows: Count
    points: list[_Part] | None = None


class IntervalOf(_Part):
    """A number with its interval: an area over circuit size, a share of variance."""

    value: Number
    low: Number
    high: Number


class BestOf(_Part):
    method: str
    value: float
    ties: list[str]


class AreasOf(_Part):
    """CPR and CMD of each ranking, and the best by each."""

    level: Annotated[float, Field(gt=0, lt=1)]
    methods: dict[str, dict[Literal["cpr", "cmd"], IntervalOf]]
    random: dict[Literal["cpr", "cmd"], Number] | None
    best: dict[Literal["cpr", "cmd"], BestOf | None]


class HeldOutOf(_Part):
    error: float
    r2: Number
    circuits: Count


class Predicted(_Part):
    """The summary of a surrogate run."""

    rows: Count
    circuits: Count
    held_out: dict[str, HeldOutOf]


class OverlapOf(_Part):
    """Overlap of circuits that differ in one thing."""

    jaccard: float
    above: float
    low: Number
    high: Number
    pairs: Count
    texts: float


class TemplatesOf(_Part):
    """What head maps depend on."""

    method: str
    size: Count
    k: Count
    n_heads: Count
    chance: float
    templates: list[_Part]
    languages: list[str]
    pools: Count
    seeds: Count
    shares: dict[str, IntervalOf]
    overlap: dict[str, OverlapOf]


class Validated(_Part):
    agreement: dict[str, _Part]
    examples: Count
    rows: Count
    areas: AreasOf | Annotated[dict, Field(max_length=0)] = {}
    templates: TemplatesOf | None = None
    stopped: bool = False


class Compared(_Part):
    """The summary of an experiment."""

    cells: Count
    of: Count
    failed: list[_Part] = []


class Exported(_Part):
    tuned: str
    folder: str


class UndoPoint(_Part):
    heads: Count
    head: tuple[int, int] | None
    undone: Count
    accuracy: dict[str, Share] = Field(min_length=1)


class Undone(_Part):
    """The summary of an undoing: its paths, and what was chosen."""

    tuned: str
    source: str
    target: str
    split: str
    rows: dict[str, Count]
    trained: Annotated[int, Field(gt=0)]
    heads: list[tuple[int, int]]
    undone: Count
    before: dict[str, Share]
    paths: dict[str, Annotated[list[UndoPoint], Field(min_length=1)]] = Field(min_length=1)


RESULTS: dict[str, type[_Part]] = {
    "finetune": Tuned,
    "score": Scored,
    "discover": Discovered,
    "advise": Advised,
    "rescore": Rescored,
    "faithfulness": Measured,
    "surrogate": Predicted,
    "validate": Validated,
    "experiment": Compared,
    "export": Exported,
    "undo": Undone,
}


def result(run: Run) -> dict:
    """A run's result.json; {} while there is none, or where it cannot be read (`damage` says
    why).
    """
    try:
        return checked_result(run)
    except UserError:
        return {}


def checked_result(run: Run) -> dict:
    """A run's result.json; {} while there is none. UserError, a few words, for what is none of a
    run of this kind.
    """
    try:
        content = parse_json(read_regular(run.file("result.json")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"result.json: {reason_of(error)}") from None
    if not isinstance(content, dict):
        raise UserError(f"result.json: {quoted(content)} is not an object")
    try:
        RESULTS.get(run.request.kind, _Part).model_validate(content)
    except ValidationError as error:
        raise UserError(f"result.json: {problem(error)}") from None
    return content


def evaluations(run: Run) -> list[dict]:
    """One row an evaluation, by step; a resumed run goes on from the rows that its checkpoint
    held, and one that went back to its last good state has the rows up to there. Rows that are not
    evaluations of the same languages are left out (`damage` says so).
    """
    return history(run)[0]


def history(run: Run) -> tuple[list[dict], str]:
    """`evaluations`, and why a row was left out; "" where none was."""
    rows: dict[int, dict] = {}
    reason = ""
    for row in run.events():
        kind = row.get("kind")
        if kind in ("resumed", "restored"):
            earlier = row.get("history", [])
            wrong = wrong_rows(earlier)
            rows = rows if wrong else {old["step"]: old for old in earlier}
        elif kind == "evaluation" and "accuracy" in row:
            wrong = wrong_rows([row])
            if not wrong:
                rows[row["step"]] = row
        else:
            continue
        reason = reason or wrong
    ordered = [rows[step] for step in sorted(rows)]
    same = [row for row in ordered if row["accuracy"].keys() == ordered[0]["accuracy"].keys()]
    if len(same) < len(ordered):
        reason = reason or "events.jsonl: the evaluations are of different languages"
    return same, reason


def wrong_rows(rows: object) -> str:
    """Why rows are not evaluations; "" where they are."""
    if not isinstance(rows, list):
        return f"events.jsonl: {quoted(rows)} is not a list"
    try:
        for row in rows:
            Evaluation.model_validate(row)
    except ValidationError as error:
        return f"events.jsonl: {problem(error)}"
    return ""
