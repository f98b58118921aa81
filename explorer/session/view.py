"""What one browser session has chosen, page by page: plain fields, no streamlit. `state.py` ties
widgets to them.
"""

from dataclasses import dataclass, field

from ctsft.attribution.scores import Head
from ctsft.circuit.circuit import Circuit
from ctsft.jobs.requests import Scoring, Subject
from explorer.session.page_choices import Compare, Experiment, Tune


@dataclass
class View(Tune, Experiment, Compare):
    """One session's choices, page by page; those of Fine-tune and Compare stand in `choices`.
    Defaults show the bundled model.
    """

    # Setup: `model` and `task` are in force; the others are what stands in the input fields
    model: str = "demo"
    model_kind: str = "bundled"  # "bundled", "hub", "folder"
    hub: str = ""
    folder: str = ""
    task: str = "demo"
    task_kind: str = "demo"  # "demo", "nusax", "xnli", "file"
    task_file: str = ""
    data_dir: str = ""
    # a task from the user's own files, as it is being mapped
    own_name: str = "my task"
    own_prompt: str = ""
    own_label: str = ""
    own_source: str = ""
    # that names the language of each row; "": one language a file
    own_column: str = ""
    # languages whose rows are shown; none: source and target
    preview_languages: list[str] = field(default_factory=list)
    # languages measured beside source and target
    accuracy_languages: list[str] = field(default_factory=list)
    source: str = "indonesian"
    target: str = "english"
    split: str = "train"
    # Relevance
    size: int = 50
    pool_seed: int = 0
    method: str = "cdt"
    attention: str = "softmax"
    rules: str = "paper"  # of CD-T: "paper" or "symmetric"
    positions: str = "all"
    head: Head | None = None  # shown in the inspector
    flip: bool = False  # layer 0 at the bottom
    panel: str = "By label"  # what stands below the map
    comparison: str = "Two methods"  # what the scores are held against
    example: int = 0  # of the discovery set, looked at alone
    head_view: str = "By token"  # what is shown of the head on that example
    compared_method: str = "ablation"  # the other way of scoring in the scatter
    compared_language: str = ""  # the language that may be scored for that
    compared_size: int = 50
    compared_run: str = ""  # the run whose map stands beside
    advice_map: str = "worth"  # of the advice: "worth", "asks" or "costs"
    # Circuit: the rule's circuit, and what was clicked, kept apart
    rule: str = "top"
    k: int = 6
    fraction: float = 0.1
    # threshold on a fixed 0..1 range between the lowest and the highest score
    threshold_level: float = 0.5
    random_seed: int = 0  # of the rule "random"
    added: frozenset[Head] = frozenset()
    removed: frozenset[Head] = frozenset()
    discovered: Circuit | None = None  # by discovery: what the rule "discover" gives
    # for undo: earlier values of CIRCUIT_FIELDS
    past: list[dict] = field(default_factory=list)
    future: list[dict] = field(default_factory=list)  # for redo: what was undone
    saved_circuits: dict[str, Circuit] = field(default_factory=dict)  # by name
    circuit_panel: str = "Is it enough?"  # what stands below the map
    # names of the kept circuits that stand side by side
    side_by_side: list[str] = field(default_factory=list)
    # names of the circuits whose overlap is shown
    overlap_circuits: list[str] = field(default_factory=list)
    depth: int = 1  # of discovery: iterations behind the first
    each: float = 0.02  # share of all heads that an iteration keeps
    # smallest edge drawn, as a share of the strongest one of its kind
    min_edge: float = 0.0
    file_name: str = "circuit"  # of the saved circuit
    measure: str = "accuracy"  # faithfulness by "accuracy" or "margin"
    n_random: int = 10  # random circuits of each size

    @property
    def subject(self) -> Subject:
        return Subject(self.model, self.task, self.data_dir or None, self.source, self.split)

    @property
    def scoring(self) -> Scoring:
        return Scoring(
            self.size,
            self.pool_seed,
            self.method,
            self.attention,
            positions=self.positions,
            rules=self.rules,
        )


CIRCUIT_FIELDS = (
    "rule",
    "k",
    "fraction",
    "threshold_level",
    "random_seed",
    "added",
    "removed",
    "discovered",
)
