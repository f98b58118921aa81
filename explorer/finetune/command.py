"""A tuning run from a session's choices: its exact command, what it would move, and the runs that
were started. Nothing is tuned here.
"""

from dataclasses import asdict, dataclass

from ctsft import runs
from ctsft.attribution.scores import Head, Scores
from ctsft.circuit.circuit import Circuit
from ctsft.circuit.selection import select
from ctsft.jobs.requests import CONTROLS, Subject, Tuning, base_model
from ctsft.model.model import Model
from ctsft.tuning import trainable
from ctsft.tuning.config import TuneConfig
from ctsft.tuning.lora import Lora
from ctsft.tuning.recipes import RECIPES, trainable_of
from ctsft.utils.errors import UserError
from explorer.session import advice_runs
from explorer.session.start_runs import subject_words
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

CHOICE = (
    "--what",
    "--circuit",
    "--scores",
    "--advice",
    "--k",
    "--pool-seed",
    "--name",
    "--kv",
    "--lora-rank",
    "--lora-targets",
    "--base",
)


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
    return Tuning(
        view.target,
        what,
        file if what in BY_FILE else None,
        given.scored.id if what in CONTROLS and given.scored else None,
        given.k,
        view.n,
        view.eval_split,
        False,
        tuple(view.related),
        view.final_split or None,
        view.pool,
        view.base.strip() or None if what == "direct" else None,
        given.advised.id if what == "advised" and given.advised else None,
    )


def words(view: View, given: Given, file: str | None, name: str = "") -> list[str]:
    """The exact command of a run, without `python -m ctsft`; advanced settings are named where they
    differ from the defaults.
    """
    chosen, wanted, plain = config(view), tuning(view, given, file), TuneConfig()
    found = [
        "finetune",
        *subject_words(view.subject),
        "--target",
        view.target,
        "--what",
        view.what,
        "--n",
        str(view.n),
        "--epochs",
        str(view.epochs),
        "--lr",
        f"{view.lr:g}",
        "--batch",
        str(view.batch),
        "--seed",
        str(view.tune_seed),
    ]
    for option, field in (
        ("--weight-decay", "weight_decay"),
        ("--accumulate", "accumulate"),
        ("--precision", "precision"),
        ("--kv", "kv"),
        ("--lora-rank", "lora_rank"),
        ("--eval-every", "eval_every"),
    ):
        value = getattr(chosen, field)
        found += (
            [option, f"{value:g}" if isinstance(value, float) else str(value)]
            if value != getattr(plain, field)
            else []
        )
    found += (
        ["--lora-targets", ",".join(chosen.lora_targets)]
        if chosen.lora_targets != plain.lora_targets
        else []
    )
    found += [] if chosen.norms else ["--no-norms"]
    found += ["--related", ",".join(wanted.related)] if wanted.related else []
    for option, value, usual in (
        ("--pool", wanted.pool, "all"),
        ("--eval-split", wanted.eval_split, "test"),
        ("--final-split", wanted.final_split, None),
        ("--base", wanted.base, None),
    ):
        found += [option, value] if value != usual else []
    found += ["--checkpoint-every", str(EVERY)]
    if wanted.circuit:
        found += ["--circuit", wanted.circuit]
    elif wanted.what in CONTROLS and wanted.scores:
        found += ["--scores", wanted.scores, "--k", str(wanted.k)]
        # draws the heads
        found += ["--pool-seed", str(view.tune_seed)] if wanted.what == "random" else []
    elif wanted.what == "advised":
        found += [*(["--advice", wanted.advice] if wanted.advice else []), "--k", str(wanted.k)]
    return found + (["--name", name] if name else [])


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
    """Start what `words` says."""
    file = keep_circuit(given.circuit) if view.what in BY_FILE else None
    params = {
        "subject": asdict(view.subject),
        "tuning": asdict(tuning(view, given, file)),
        "config": config(view).model_dump(),
    }
    return runs.start(words(view, given, file, name), params, name)


def listed(view: View) -> list[runs.Run]:
    """Newest first: the tuning runs of the view's model and task, without competence tuning (target
    = source) and experiments' cells.
    """

    def own(run: runs.Run) -> bool:
        params = run.request.params
        subject, wanted = params.get("subject", {}), params.get("tuning", {})
        same = (asked_model(run), subject.get("task"), subject.get("data_dir") or "") == (
            view.model,
            view.task,
            view.data_dir,
        )
        apart = (
            wanted.get("target") in (None, subject.get("language"))
            or "competence" in params
            or "experiment" in params
        )
        return same and not apart

    return [run for run in runs.list_runs("finetune") if own(run)]


def asked_model(run: runs.Run) -> str | None:
    """The model that a run's command names: direct tuning records the base that it tuned
    instead.
    """
    params, argv = run.request.params, run.request.argv
    if params.get("tuning", {}).get("what") == "direct":
        return argv[argv.index("--model") + 1] if "--model" in argv[:-1] else Subject().model
    return params.get("subject", {}).get("model")


def everything_words(argv: list[str]) -> list[str]:
    """A tuning run's command with everything moving instead, and all else the same."""
    kept, rest = [], iter(argv)
    for word in rest:
        if word in CHOICE:
            next(rest, None)
        elif word.split("=")[0] not in (*CHOICE, "--no-norms", "--norms"):
            kept.append(word)
    return [*kept, "--what", "full"]


def start_everything(run: runs.Run) -> runs.Run:
    """The same run again with everything moving: what a circuit is compared with."""
    params, plain = run.request.params, TuneConfig().model_dump(mode="json")
    wanted = params["tuning"] | {
        "what": "full",
        "circuit": None,
        "scores": None,
        "advice": None,
        "base": None,
    }
    subject = params["subject"] | {"model": asked_model(run)}
    usual = {name: plain[name] for name in ("kv", "norms", "lora_rank", "lora_targets")}
    return runs.start(
        everything_words(run.request.argv),
        {"subject": subject, "tuning": wanted, "config": params["config"] | usual},
    )


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
