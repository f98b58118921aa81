"""What the summary and the evaluations of a run may contain, by the kind of its job."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)] | None  # null in result.json: measured on no rows
Number = Annotated[float, Field(allow_inf_nan=False)] | None


class Part(BaseModel):
    """A part of a summary; fields that no reader needs may be there too."""

    model_config = ConfigDict(extra="allow")


class Metrics(Part):
    accuracy: float | None
    right: str = Field("", pattern="^[01]*$")  # of each row: "1" right, "0" wrong


class Perplexity(Part):
    perplexity: Annotated[float, Field(ge=1, allow_inf_nan=False)]
    tokens: Count
    texts: Count


class Measurement(Part):
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


class Ends(Part):
    """Metrics of each language before and after tuning."""

    before: dict[str, Metrics]
    after: dict[str, Metrics]


class FinalEnds(Ends):
    split: str


class OutsideOf(Part):
    """How much of the model stands outside of what was trained, and has the checkpoint's bits."""

    parameters: Count
    identical: Count
    text: str


class SharePoint(Part):
    share: Annotated[float, Field(ge=0, le=1)]
    accuracy: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(min_length=1)


class SharesOf(Part):
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


class PerplexityEnds(Part):
    """Before and after tuning, of the same texts."""

    texts: str
    rows: Count
    tokens: Count
    before: Annotated[float, Field(ge=1, allow_inf_nan=False)]
    after: Annotated[float, Field(ge=1, allow_inf_nan=False)]


class MeasuredRows(Part):
    hash: str
    ids: list[str]


class Answered(Part):
    """Which rows the figures before and after tuning are of, by language."""

    split: str
    rows: dict[str, MeasuredRows]


class Tuned(Part):
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


class HeadOf(Part):
    layer: Count
    head: Count


class Scored(Part):
    """The summary of a scoring run."""

    model: str
    task: str
    language: str
    n_layers: Count
    n_heads: Count
    heads: list[HeadOf]


class Discovered(Part):
    heads: list[HeadOf]


class Advised(Part):
    heads: list[HeadOf]
    target: str
    k: Count


class ChangeOf(Part):
    layer: Count | None
    head: Count | str
    change: float
    of: float


class Rescored(Part):
    spearman: Number
    k: Count
    stayed: list[tuple[int, int]]
    left: list[tuple[int, int]]
    came: list[tuple[int, int]]
    changes: list[ChangeOf]
    right: float
    examples: Count


class Measured(Part):
    """The summary of a faithfulness run: a circuit's, or the points of a curve."""

    rows: Count
    points: list[Part] | None = None


class IntervalOf(Part):
    """A number with its interval: an area over circuit size, a share of variance."""

    value: Number
    low: Number
    high: Number


class BestOf(Part):
    method: str
    value: float
    ties: list[str]


class AreasOf(Part):
    """CPR and CMD of each ranking, and the best by each."""

    level: Annotated[float, Field(gt=0, lt=1)]
    methods: dict[str, dict[Literal["cpr", "cmd"], IntervalOf]]
    random: dict[Literal["cpr", "cmd"], Number] | None
    best: dict[Literal["cpr", "cmd"], BestOf | None]


class HeldOutOf(Part):
    error: float
    r2: Number
    circuits: Count


class Predicted(Part):
    """The summary of a surrogate run."""

    rows: Count
    circuits: Count
    held_out: dict[str, HeldOutOf]


class OverlapOf(Part):
    """Overlap of circuits that differ in one thing."""

    jaccard: float
    above: float
    low: Number
    high: Number
    pairs: Count
    texts: float


class TemplatesOf(Part):
    """What head maps depend on."""

    method: str
    size: Count
    k: Count
    n_heads: Count
    chance: float
    templates: list[Part]
    languages: list[str]
    pools: Count
    seeds: Count
    shares: dict[str, IntervalOf]
    overlap: dict[str, OverlapOf]


class Validated(Part):
    agreement: dict[str, Part] = {}  # none where only templates were compared
    examples: Count = 0
    rows: Count = 0
    areas: AreasOf | Annotated[dict, Field(max_length=0)] = {}
    templates: TemplatesOf | None = None
    stopped: bool = False


class Compared(Part):
    """The summary of an experiment."""

    cells: Count
    of: Count
    failed: list[Part] = []


class Exported(Part):
    tuned: str
    folder: str


class UndoPoint(Part):
    heads: Count
    head: tuple[int, int] | None
    undone: Count
    accuracy: dict[str, Share] = Field(min_length=1)


class Undone(Part):
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


RESULTS: dict[str, type[Part]] = {
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
