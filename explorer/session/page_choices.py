"""The choices of one session on the Fine-tune and Compare pages: parts of `View`."""

from dataclasses import dataclass, field

HOLDS = ("off", "weak", "usual", "strong")  # of the source
POOLS = ("all", "B")  # of the target's rows
SPLITS = ("valid", "test")
ORDERS = ("newest", "gain", "forgetting", "share", "seconds")


def choice(*options: str, default: str = ""):
    """A field that is one of a few texts, at first `default` or else the first of them."""
    return field(default=default or options[0], metadata={"options": options})


def number(default: float, low: float, high: float):
    """A field with the limits of its widget."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass
class Tune:
    """One run. With the defaults the bundled model forgets visibly; the advanced settings are the
    paper's.
    """

    tune_tab: str = choice("One run", "Experiment")
    tune_panel: str = choice("Curves", "Heads to train")
    what: str = "circuit"
    # whether all recipes are offered, not only the first four
    every_way: bool = False
    # how strongly the source is held (`command.HOLDS`): where everything is trained, and otherwise
    hold_everything: str = choice(*HOLDS, default="usual")
    hold_part: str = choice(*HOLDS)
    n: int = number(50, 1, 10**6)
    epochs: int = number(10, 1, 200)
    lr: float = number(3e-3, 1e-7, 1.0)
    batch: int = number(16, 1, 512)
    tune_seed: int = number(31, 0, 2**31 - 1)
    related: list[str] = field(default_factory=list)  # more languages that are measured
    related_tasks: str = ""  # task files that are measured, one on each line
    perplexity: bool = False  # of the source rows' texts, or of `text_file`
    text_file: str = ""
    kv: str = choice("group", "expand")
    norms: bool = True
    lora_rank: int = number(8, 1, 256)
    lora_targets: list[str] = field(default_factory=lambda: ["q", "v"])
    # the model before its competence stage, for "direct"
    base: str = ""
    weight_decay: float = number(0.0, 0.0, 10.0)
    accumulate: int = number(1, 1, 1024)
    precision: str = choice("full", "bf16")
    pool: str = choice(*POOLS)
    eval_split: str = choice(*SPLITS)
    final_split: str = choice("", *SPLITS, default="test")  # "": the split of the curves
    eval_every: int = number(0, 0, 10**6)  # steps; 0: ten evaluations in each run
    tune_name: str = ""  # of the run, optional
    tune_run: str = ""  # the run that is shown; "": the newest
    overlaid: list[str] = field(default_factory=list)  # runs drawn in the chart of the shown run
    loss: bool = False  # whether the training loss is drawn
    log: bool = False
    after_panel: str = choice(  # of a run that has ended
        "What changed", "Did the circuit change?", "Files and export"
    )


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
    design_k: int = number(6, 0, 10**6)
    design_epochs: int = number(5, 1, 200)
    design_rates: str = "1e-3"
    design_batch: int = number(16, 1, 512)
    design_decay: float = number(0.0, 0.0, 10.0)
    design_pool: str = choice(*POOLS, default="B")
    design_rows: int = number(0, 0, 10**6)  # of an evaluation set, at most; 0: all
    design_hold: float = number(9.0, 1e-3, 10**4)  # of the ways that hold the source
    design_replay: int = number(0, 0, 10**6)  # source rows; 0: as many as target rows
    design_share: bool = False  # whether shares of each change are measured
    design_jobs: int = number(1, 1, 64)
    design_deltas: bool = False
    experiment_run: str = ""  # the experiment that is shown; "": the newest


FROM = "from "  # begins the scope of an exploration's runs


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
    compare_order: str = choice(*ORDERS)
    compare_seeds: bool = False  # one line for all seeds of the same settings
    compare_columns: bool = False  # all columns of the table
    compare_lost: str = choice("source", "target")  # whose lost texts are listed
    compare_lost_by: str = choice("any", "all", "one")
    compare_chosen: list[str] = field(default_factory=list)  # runs selected in the table
