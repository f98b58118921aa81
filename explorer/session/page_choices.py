"""The choices of one session on the Fine-tune and Compare pages: parts of `View`."""

from dataclasses import dataclass, field


@dataclass
class Tune:
    """One run. With the defaults the bundled model forgets visibly; the advanced settings are the
    paper's.
    """

    tune_tab: str = "One run"  # or "Experiment"
    what: str = "circuit"
    # whether all recipes are offered, not only the first four
    every_way: bool = False
    # how strongly the source is held (`command.HOLDS`): where everything is trained, and otherwise
    hold_everything: str = "usual"
    hold_part: str = "off"
    n: int = 50
    epochs: int = 10
    lr: float = 3e-3
    batch: int = 16
    tune_seed: int = 31
    related: list[str] = field(default_factory=list)  # more languages that are measured
    kv: str = "group"
    norms: bool = True
    lora_rank: int = 8
    lora_targets: list[str] = field(default_factory=lambda: ["q", "v"])
    # the model before its competence stage, for "direct"
    base: str = ""
    weight_decay: float = 0.0
    accumulate: int = 1
    precision: str = "full"
    pool: str = "all"  # of the target's rows: "all" or "B"
    eval_split: str = "valid"
    final_split: str = "test"  # "": the split of the curves
    eval_every: int = 0  # steps; 0: ten evaluations in each run
    overlaid: list[str] = field(default_factory=list)  # runs drawn in the chart of the shown run
    log: bool = False
    after_panel: str = "What changed"  # of a run that has ended


@dataclass
class Experiment:
    """The form of an experiment; lists of numbers are texts with commas, as they were typed."""

    design_name: str = "experiment"
    design_methods: list[str] = field(
        default_factory=lambda: ["circuit", "near_zero", "random", "full"]
    )
    design_targets: list[str] = field(default_factory=list)
    design_related: list[str] = field(default_factory=list)
    design_n: str = "25"
    design_seeds: str = "31, 777, 2025, 12345"
    design_k: int = 6
    design_epochs: int = 5
    design_rates: str = "1e-3"
    design_batch: int = 16
    design_decay: float = 0.0
    design_pool: str = "B"
    design_rows: int = 0  # of an evaluation set, at most; 0: all
    design_jobs: int = 1
    design_deltas: bool = False


@dataclass
class Compare:
    """Which runs Compare shows; an empty list or text: all."""

    # "single" (runs of no experiment), or the id of an experiment's run; "": all runs
    compare_scope: str = "single"
    compare_model: str = "newest"  # "newest": the newest run's; "": all
    compare_task: str = "newest"
    compare_target: str = "newest"
    compare_what: list[str] = field(default_factory=list)
    compare_seed: list[int] = field(default_factory=list)
    compare_state: list[str] = field(default_factory=list)
    compare_text: str = ""
    compare_order: str = "newest"
    compare_seeds: bool = False  # one line for all seeds of the same settings
    compare_chosen: list[str] = field(default_factory=list)  # runs selected in the table
