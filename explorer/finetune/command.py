"""A tuning run from a session's choices: its exact command, what it would move, and the runs that
were started. Nothing is tuned here.
"""

from dataclasses import dataclass, replace

from ctsft import runs
from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.circuit import Circuit
from ctsft.circuit.selection import select
from ctsft.jobs.requests import (
    CONTROLS,
    FinetuneRequest,
    Scoring,
    Tuning,
    base_model,
    needed_request,
    typed_runs,
)
from ctsft.model.model import Model
from ctsft.tuning import trainable
from ctsft.tuning.config import TuneConfig
from ctsft.tuning.lora import Lora
from ctsft.tuning.recipes import RECIPES, trainable_of
from ctsft.utils.errors import UserError
from explorer.session import advice_runs
from explorer.session.view import View

# what a newcomer sees; the rest is folded
FIRST = ("circuit", "near_zero", "norms", "full")

# "edited" is what "circuit" does here
OFFERED = (*FIRST, "least", "random", "advised", "direct", "lora", "lora_circuit")

# heads move, and norms beside them
SLICES = tuple(name for name, one in RECIPES.items() if one.needs_heads and name != "lora_circuit")
ADAPTERS = ("lora", "lora_circuit")

# they take the circuit in force
BY_FILE = ("circuit", "lora_circuit")
EVERY = 5  # steps between checkpoints


@dataclass(frozen=True)
class Given:
    """What a run's heads come from: the scoring run and its scores, the circuit in force, the
    advice run on its very rows; each may be absent.
    """

    scored: runs.Run | None = None
    scores: Scores | None = None
    circuit: Circuit | None = None
    advised: runs.Run | None = None

    @property
    def k(self) -> int:
        """How many heads the controls take."""
        return len(self.circuit or ())


def advised(view: View, weights: str) -> runs.Run | None:
    """A finished advice run on the rows that this one would tune on; a run without one asks
    first.
    """
    if view.pool != "all":
        return None
    return next(
        (
            run
            for run in advice_runs.found(view, weights, ("done",))
            if advice_runs.rows_of(run) == advice_runs.asked_by(view)
        ),
        None,
    )


def config(view: View) -> TuneConfig:
    """Settings that the recipe does not read keep their defaults, so that the command does not name
    them.
    """
    slices, adapters = view.what in SLICES, view.what in ADAPTERS
    return TuneConfig(
        epochs=view.epochs,
        learning_rate=view.lr,
        batch_size=view.batch,
        seed=view.tune_seed,
        weight_decay=view.weight_decay,
        accumulate=view.accumulate,
        precision=view.precision,
        eval_every=view.eval_every,
        checkpoint_every=EVERY,
        **({"kv": view.kv, "norms": view.norms} if slices else {}),
        **(
            {"lora_rank": view.lora_rank, "lora_targets": tuple(view.lora_targets)}
            if adapters
            else {}
        ),
    )


def tuning(view: View, given: Given, file: str | None) -> Tuning:
    what = view.what
    scores = given.scored.id if what in CONTROLS and given.scored else None
    advice = given.advised.id if what == "advised" and given.advised else None
    counted = what == "advised" or scores is not None
    return Tuning(
        target=view.target,
        what=what,
        circuit=file if what in BY_FILE else None,
        scores=scores,
        advice=advice,
        n=view.n,
        eval_split=view.eval_split,
        related=tuple(view.related),
        final_split=view.final_split or None,
        pool=view.pool,
        base=view.base.strip() or None if what == "direct" else None,
        **({"k": given.k} if counted else {}),
    )


def request(view: View, given: Given, file: str | None, name: str = "") -> FinetuneRequest:
    """What a run is asked. `file`: the circuit file of those that read one."""
    # its seed draws the random heads
    scoring = Scoring(seed=view.tune_seed) if view.what == "random" else Scoring()
    return FinetuneRequest(
        name=name,
        subject=view.subject,
        scoring=scoring,
        tuning=tuning(view, given, file),
        config=config(view),
    )


def heads(view: View, given: Given) -> Circuit | None:
    """The heads that would move or, with adapters, whose layers would; none of them for "norms",
    all for "full"; None while they are not known: the heads are not scored, or advice is asked
    by the run itself.
    """
    scores, circuit = given.scores, given.circuit
    if view.what == "norms":
        return select(scores, "none") if scores else None
    if not RECIPES[view.what].needs_heads:
        return select(scores, "all") if scores else None
    if view.what == "advised":
        found = advice_runs.read(given.advised)
        return found.circuit(given.k) if found else None
    if view.what in CONTROLS and scores and circuit:
        return select(
            scores,
            view.what,
            k=len(circuit),
            **({"seed": view.tune_seed} if view.what == "random" else {}),
        )
    return circuit


def outlined(view: View, model: Model, choice: Circuit | None) -> Circuit:
    """What the map outlines: the heads that move; with adapters every head of their layers."""
    if view.what not in ADAPTERS:
        return choice or Circuit(frozenset())
    found = trainable_of(model, view.what, choice).adapted if choice or view.what == "lora" else ()
    return Circuit(
        frozenset(head for head in model.heads if head[0] in found),
        {head: "adapters" for head in model.heads if head[0] in found},
    )


def touched(view: View, model: Model, choice: Circuit | None) -> list[Head]:
    """Heads that move because they share keys and values with one that is chosen."""
    return (
        sorted(trainable.heads_sharing_kv(model, choice.heads))
        if view.what in SLICES and view.kv == "group" and choice
        else []
    )


def count(view: View, model: Model, choice: Circuit | None) -> int | None:
    """How many numbers would move; None while the heads are not known. UserError where nothing
    would, or LoRA has no such map.
    """
    if RECIPES[view.what].needs_heads and choice is None:
        return None
    chosen, found = (
        config(view),
        trainable_of(
            model,
            view.what,
            choice if RECIPES[view.what].needs_heads else None,
            norms=config(view).norms,
        ),
    )
    if found.everything:
        return model.n_params
    if found.adapted:
        return Lora(chosen.lora_rank, chosen.lora_alpha, chosen.lora_targets).size(
            model, found.adapted
        )
    return trainable.trainable_count(model, found.heads, chosen.kv, found.norms)


def missing(view: View, given: Given) -> str:
    """What stands in the way of a start, in one sentence; "" when nothing does."""
    what = RECIPES[view.what]
    if what.needs_heads and given.circuit is None:
        return (
            "The heads are not scored yet with these settings: score them on the Relevance page, or"
            " move something that needs no scores: only the norms, or everything."
        )
    if what.needs_heads and not given.circuit:
        return "The circuit has no heads: choose some on the Circuit page, or move only the norms."
    if view.what in ADAPTERS and not view.lora_targets:
        return (
            "LoRA needs at least one map to adapt: choose q, v or others under the advanced"
            " settings."
        )
    if what.from_base:
        try:
            base_model(view.subject, tuning(view, given, None))
        except UserError:
            return (
                "Direct tuning begins with the model before its competence stage, and which one"
                f" that is for {view.model} is not known: name it under the advanced settings."
            )
    return ""


def start(view: View, given: Given, name: str = "") -> runs.Run:
    """Start what `request` says."""
    file = keep_circuit(given.circuit) if view.what in BY_FILE else None
    return runs.start(request(view, given, file, name))


def listed(view: View) -> list[runs.Run]:
    """Newest first: the tuning runs of the view's model and task, without competence tuning (target
    = source) and the trials of experiments.
    """
    chosen = (view.model, view.task, view.data_dir)
    return [
        run
        for run, asked in typed_runs("finetune")
        if (asked.subject.model, asked.subject.task, asked.subject.data_dir or "") == chosen
        and not asked.competence
        and asked.trial_of is None
    ]


def everything(run: runs.Run) -> FinetuneRequest:
    """The same run with every parameter trained: what a circuit is compared with."""
    asked, plain = needed_request(run), TuneConfig()
    unused = {"circuit": None, "scores": None, "advice": None, "base": None, "k": Tuning.k}
    usual = {name: getattr(plain, name) for name in ("kv", "norms", "lora_rank", "lora_targets")}
    return FinetuneRequest(
        subject=asked.subject,
        tuning=replace(asked.tuning, what="full", **unused),
        config=asked.config.model_copy(update=usual),
    )


def start_everything(run: runs.Run) -> runs.Run:
    return runs.start(everything(run))


def keep_circuit(circuit: Circuit) -> str:
    """Write the circuit where a run can read it; the same circuit goes to the same file."""
    folder = runs.home() / "circuits"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (
        "-".join(f"{layer}.{head}" for layer, head in sorted(circuit.heads))[:120]
        + f"-{hash(circuit.heads) & 0xFFFFFFFF:08x}.json"
    )
    circuit.save(path)
    return str(path)
