"""The request of a tuning run from a session's choices, what it still lacks, and the runs so far.
Nothing is tuned here.
"""

from dataclasses import dataclass

from ctsft import runs
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.jobs.request_parts import CONTROLS, base_model
from ctsft.jobs.requests import (
    FinetuneRequest,
    Scoring,
    Tuning,
    typed_runs,
)
from ctsft.runs.recorded_models import recorded_model
from ctsft.tuning.config import TuneConfig
from ctsft.tuning.recipes import RECIPES
from ctsft.utils.errors import UserError
from explorer.session import advice_runs, own_runs
from explorer.session import circuit as session_circuit
from explorer.session.next_runs import SLICES
from explorer.session.view import View

# shown at first; the others on request
FIRST = ("circuit", "near_zero", "norms", "full")

# "edited" is what "circuit" does here
OFFERED = (
    *FIRST,
    "least",
    "random",
    "advised",
    "direct",
    "ssu",
    "fggm",
    "lora",
    "lora_circuit",
)

ADAPTERS = ("lora", "lora_circuit")

# recipes that train the current circuit
BY_FILE = ("circuit", "lora_circuit")
CHECKPOINT_EVERY = 5  # steps

# choices of "Hold the source", and the setting `hold` of each
HOLDS = {"off": 0.0, "weak": 0.9, "usual": 9.0, "strong": 90.0}


@dataclass(frozen=True)
class HeadSources:
    """What the heads of a run can be chosen from: the scoring run and its scores, the current
    circuit, and the advice run on the same rows; each may be missing.
    """

    score_run: runs.Run | None = None
    scores: Scores | None = None
    circuit: Circuit | None = None
    advice_run: runs.Run | None = None

    @property
    def k(self) -> int:
        """The number of heads of the controls."""
        return len(self.circuit or ())


def advice_run(view: View, weights: str) -> runs.Run | None:
    """A finished advice run on the rows that this run will tune on. A run without one computes
    advice first.
    """
    if view.pool != "all":
        return None
    for run in advice_runs.matching_runs(view, weights, ("done",)):
        if advice_runs.rows_of(run) == advice_runs.current_rows(view):
            return run
    return None


def hold_field(view: View) -> str:
    """The field of the view that holds the choice of "Hold the source" for the chosen recipe."""
    return "hold_everything" if view.what in ("full", "direct") else "hold_part"


def hold(view: View) -> float:
    """How strongly the chosen recipe holds the source (`TuneConfig.hold`)."""
    return HOLDS[getattr(view, hold_field(view))]


def config(view: View) -> TuneConfig:
    """Settings that the recipe does not read keep their defaults, so that the command does not name
    them.
    """
    recipe_settings = {}
    if view.what in SLICES:
        recipe_settings = {"kv": view.kv, "norms": view.norms}
    if view.what in ADAPTERS:
        recipe_settings = {
            "lora_rank": view.lora_rank,
            "lora_targets": tuple(view.lora_targets),
        }
    return TuneConfig(
        epochs=view.epochs,
        learning_rate=view.lr,
        batch_size=view.batch,
        seed=view.tune_seed,
        weight_decay=view.weight_decay,
        accumulate=view.accumulate,
        precision=view.precision,
        hold=hold(view),
        eval_every=view.eval_every,
        checkpoint_every=CHECKPOINT_EVERY,
        **recipe_settings,
    )


def tuning(view: View, sources: HeadSources, file: str | None) -> Tuning:
    """The tuning settings; `file`: the circuit file, for the recipes that read one."""
    what = view.what
    heads = {}
    if what in BY_FILE:
        heads = {"circuit": file}
    if what in CONTROLS and sources.score_run:
        heads = {"scores": sources.score_run.id, "k": sources.k}
    if what == "advised":
        advice = sources.advice_run.id if sources.advice_run else None
        heads |= {"advice": advice, "k": sources.k}
    return Tuning(
        target=view.target,
        what=what,
        n=view.n,
        eval_split=view.eval_split,
        related=tuple(view.related),
        final_split=view.final_split or None,
        related_tasks=related_tasks(view),
        perplexity=view.perplexity,
        text=(view.text_file.strip() or None) if view.perplexity else None,
        pool=view.pool,
        base=(view.base.strip() or None) if what == "direct" else None,
        **heads,
    )


def related_tasks(view: View) -> tuple[str, ...]:
    """The lines of the field "Related tasks"."""
    return tuple(filter(None, map(str.strip, view.related_tasks.splitlines())))


def request(view: View, sources: HeadSources, file: str | None, name: str = "") -> FinetuneRequest:
    """The request of a run; `file`: the circuit file, for the recipes that read one."""
    # its seed draws the random heads
    scoring = Scoring(seed=view.tune_seed) if view.what == "random" else Scoring()
    return FinetuneRequest(
        name=name,
        subject=view.subject,
        scoring=scoring,
        tuning=tuning(view, sources, file),
        config=config(view),
    )


def missing(view: View, sources: HeadSources) -> str:
    """What is missing for a start, in one sentence; "" if nothing is."""
    what = RECIPES[view.what]
    if without_weights := recorded_model(view.model):
        return without_weights.why_not
    if (hold(view) or what.from_source) and view.split == "test":
        return (
            "The source is never held by test rows. Choose the train or the valid rows on the"
            " Relevance page, or tune without them: no hold, no SSU."
        )
    if what.needs_heads and sources.circuit is None:
        return (
            "The heads are not scored yet with these settings. Score them on the Relevance page, or"
            " train something that needs no scores: only the norms, or everything."
        )
    if what.needs_heads and not sources.circuit:
        return "The circuit has no heads. Choose some on the Circuit page, or train only the norms."
    if view.what in ADAPTERS and not view.lora_targets:
        return (
            "LoRA needs at least one map to adapt. Choose q, v or others under the advanced"
            " settings."
        )
    if what.from_base:
        try:
            base_model(view.subject, tuning(view, sources, None))
        except UserError:
            return (
                "Direct tuning starts from the model before its competence stage, and that model is"
                f" not known for {view.model}: enter it under the advanced settings."
            )
    return ""


def start(view: View, sources: HeadSources, name: str = "") -> runs.Run:
    """Start the run of `request`."""
    file = session_circuit.write_circuit(sources.circuit) if view.what in BY_FILE else None
    return own_runs.start(request(view, sources, file, name))


def listed(view: View) -> list[runs.Run]:
    """Newest first: the tuning runs of the view's model and task, without competence tuning (target
    = source) and the trials of experiments.
    """
    chosen = (view.model, view.task, view.data_dir)
    return [
        run
        for run, request in typed_runs("finetune")
        if (request.subject.model, request.subject.task, request.subject.data_dir or "") == chosen
        and not request.competence
        and request.trial_of is None
    ]
