"""The choices of one browser session, page by page: plain fields, no streamlit. `binding` ties
widgets to them.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from explorer.session.page_choices import Compare, Experiment, Tune, choice, number

if TYPE_CHECKING:  # torch and transformers, for which the first screen does not wait
    from ctsft.circuit.circuit import Circuit
    from ctsft.jobs.requests import Scoring, Subject

Head = tuple[int, int]  # layer, head: ctsft.attribution.scores.Head


@dataclass
class View(Tune, Experiment, Compare):
    """The choices of one session; those of Fine-tune and Compare are in `page_choices`. The
    defaults show the bundled model.
    """

    # Setup: `model` and `task` are the current ones; the others are the texts of the inputs
    model: str = "demo"
    model_kind: str = "bundled"  # "bundled", "recorded", "hub", "folder"
    hub: str = ""
    folder: str = ""
    task: str = "demo"
    task_kind: str = "demo"  # "demo", "nusax", "xnli", "file"
    task_file: str = ""
    data_dir: str = ""
    # a task from the user's own tables, while its columns are assigned
    own_name: str = "my task"
    own_prompt: str = ""
    own_label: str = ""
    own_source: str = ""
    # the column that names the language of each row; "": one language in each file
    own_column: str = ""
    # languages whose rows are shown; empty: source and target
    preview_languages: list[str] = field(default_factory=list)
    # languages that are measured in addition to source and target
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
    # heads that are shown side by side, as in "3.7" (layer 3, head 7)
    pinned: list[str] = field(default_factory=list)
    flip: bool = False  # layer 0 at the bottom
    # of the map: the method's scores, or those of removal
    map_scores: str = choice("method", "removal")
    by_layer: bool = False  # a colour scale for each layer
    section: str = "Head"  # shown beside the map
    panel: str = "By label"  # of the section "All heads"
    # what the scores are compared with
    comparison: str = choice("Two methods", "Side by side", "Validation", "Templates")
    example: int = 0  # of the discovery set, shown alone
    own_text: str = ""  # shown in place of the example
    # how the head is shown on that example
    head_view: str = choice("By token", "Attention pattern", "Direct effect", "Top heads")
    compared_method: str = "ablation"  # the other scoring method in the scatter plot
    compared_language: str = ""  # the language that can be scored for comparison
    compared_size: int = number(50, 1, 2000)
    compared_run: str = ""  # the run whose map is shown side by side
    advice_map: str = choice("worth", "asks", "costs")  # of the advice
    # Circuit: the rule, and separately the heads added and removed by hand
    rule: str = "top"
    k: int = 6
    fraction: float = 0.1
    # threshold on a fixed 0..1 range between the lowest and the highest score
    threshold_level: float = 0.5
    random_seed: int = 0  # of the rule "random"
    added: frozenset[Head] = frozenset()
    removed: frozenset[Head] = frozenset()
    discovered: "Circuit | None" = None  # the circuit of the rule "discover"
    # for undo: earlier values of CIRCUIT_FIELDS
    past: list[dict] = field(default_factory=list)
    future: list[dict] = field(default_factory=list)  # for redo: what was undone
    saved_circuits: "dict[str, Circuit]" = field(default_factory=dict)  # by name
    circuit_panel: str = "Is it enough?"  # shown below the map
    # names of the saved circuits that are shown side by side
    side_by_side: list[str] = field(default_factory=list)
    # names of the circuits whose overlap is shown
    overlap_circuits: list[str] = field(default_factory=list)
    depth: int = 1  # of discovery: iterations after the first
    each: float = 0.02  # of discovery: share of all heads that an iteration selects
    # the weakest edge that is drawn, as a share of the strongest one of its kind
    min_edge: float = 0.0
    file_name: str = "circuit"  # of the saved circuit
    measure: str = choice("accuracy", "margin")  # of faithfulness
    n_random: int = number(10, 1, 200)  # random circuits of each size
    # the picture that is shown alone on the whole screen
    present: str = choice("", "map", "circuit", "curves", "frontier")

    @property
    def subject(self) -> "Subject":
        from ctsft.jobs.requests import Subject

        return Subject(self.model, self.task, self.data_dir or None, self.source, self.split)

    @property
    def scoring(self) -> "Scoring":
        from ctsft.jobs.requests import Scoring

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
