"""A request as shell arguments: the command that asks for the same result.

Each kind has a table of its options: the flag, and the field of the request that it sets. An
option is written where its field differs from the default; the model and the task always are.
"""

import shlex
from dataclasses import dataclass
from typing import Any

from ctsft.jobs.requests import AnyRequest, Tuning


@dataclass(frozen=True)
class Option:
    """`--flag VALUE` for a field; with `switch`, the bare flag where the field has that value."""

    flag: str
    field: str  # dotted, from the request
    always: bool = False
    switch: Any = None
    repeated: bool = False  # one flag for each item of a tuple


def _options(prefix: str, flags: dict[str, str]) -> tuple[Option, ...]:
    return tuple(Option(flag, f"{prefix}{field}") for flag, field in flags.items())


SUBJECT = (
    Option("--model", "subject.model", always=True),
    Option("--task", "subject.task", always=True),
    *_options(
        "subject.",
        {
            "--language": "language",
            "--split": "split",
            "--data-dir": "data_dir",
            "--device": "device",
            "--dtype": "dtype",
        },
    ),
)
POOL = _options("scoring.", {"--size": "size", "--pool-seed": "seed"})
METHOD = _options("scoring.", {"--method": "method", "--attention": "attention"})
RULES = Option("--rules", "scoring.rules")
POSITIONS = Option("--positions", "scoring.positions")
CERTIFIED = Option("--certified", "scoring.certified", switch=True)
ADAPTIVE = Option("--adaptive", "scoring.adaptive", switch=True)
IN_FLIGHT = _options("scoring.", {"--max-memory": "max_memory", "--batch-tokens": "batch_tokens"})
NO_CACHE = Option("--no-cache", "cache", switch=False)
OPTIONS: dict[str, tuple[Option, ...]] = {
    "score": (
        *SUBJECT,
        *METHOD,
        *POOL,
        POSITIONS,
        RULES,
        ADAPTIVE,
        CERTIFIED,
        *IN_FLIGHT,
        *_options("scoring.", {"--normalise": "normalise", "--steps": "steps", "--k": "k"}),
        *_options("scoring.", {"--objective": "objective", "--passes": "passes"}),
        Option("--magnitude", "scoring.score", switch="magnitude"),
        Option("--preview", "preview", switch=True),
        Option("--by-position", "by_position", switch=True),
        Option("--heads", "heads"),
        Option("--roles", "roles", switch=True),
        NO_CACHE,
    ),
    "discover": (
        *SUBJECT,
        *_options("", {"--depth": "depth", "--fraction": "fraction"}),
        Option("--attention", "scoring.attention"),
        RULES,
        ADAPTIVE,
        *POOL,
        *IN_FLIGHT,
        NO_CACHE,
    ),
    "faithfulness": (
        *SUBJECT,
        Option("--scores", "scores", always=True),
        *_options("", {"--circuit": "circuit", "--sizes": "sizes", "--random": "n_random"}),
    ),
    "surrogate": (
        *SUBJECT,
        Option("--scores", "scores", always=True),
        *_options("", {"--circuits": "circuits", "--rows": "rows", "--seed": "seed"}),
        NO_CACHE,
    ),
    "validate": (
        *SUBJECT,
        *_options(
            "checks.",
            {
                "--methods": "methods",
                "--size": "size",
                "--pool-seed": "seed",
                "--rows": "rows",
                "--random": "n_random",
                "--pools": "pools",
            },
        ),
        Option("--rows-split", "rows_split"),
        Option("--templates", "templates_file"),
        Option("--only-templates", "only_templates", switch=True),
        *_options(
            "templates.",
            {
                "--template-languages": "languages",
                "--template-pools": "pools",
                "--template-seeds": "seeds",
                "--template-method": "method",
                "--template-size": "size",
            },
        ),
    ),
    "advise": (
        *SUBJECT,
        Option("--target", "target", always=True),
        *_options(
            "",
            {"--n": "n", "--k": "k", "--seed": "seed", "--pool": "pool", "--damping": "damping"},
        ),
    ),
    "finetune": (
        *SUBJECT,
        Option("--target", "tuning.target", always=True),
        Option("--what", "tuning.what", always=True),
        Option("--n", "tuning.n", always=True),
        Option("--epochs", "config.epochs", always=True),
        Option("--lr", "config.learning_rate", always=True),
        Option("--batch", "config.batch_size", always=True),
        Option("--seed", "config.seed", always=True),
        *_options(
            "config.",
            {
                "--weight-decay": "weight_decay",
                "--max-grad-norm": "max_grad_norm",
                "--hold": "hold",
                "--replay": "replay",
                "--ewc": "ewc",
                "--l2": "l2",
                "--kl": "kl",
                "--accumulate": "accumulate",
                "--precision": "precision",
                "--kv": "kv",
                "--lora-rank": "lora_rank",
                "--lora-alpha": "lora_alpha",
                "--lora-targets": "lora_targets",
                "--eval-every": "eval_every",
                "--checkpoint-every": "checkpoint_every",
                "--report-to": "report_to",
            },
        ),
        Option("--no-norms", "config.norms", switch=False),
        Option("--extra", "config.extra", repeated=True),
        *_options(
            "tuning.",
            {
                "--circuit": "circuit",
                "--scores": "scores",
                "--advice": "advice",
                "--k": "k",
                "--base": "base",
                "--pool": "pool",
                "--related": "related",
                "--eval-split": "eval_split",
                "--final-split": "final_split",
            },
        ),
        Option("--related-task", "tuning.related_tasks", repeated=True),
        Option("--perplexity", "tuning.perplexity", switch=True),
        Option("--text", "tuning.text"),
        Option("--save-model", "tuning.save_model", switch=True),
        Option("--no-shares", "tuning.shares", switch=False),
        *POOL,
        *METHOD,
    ),
    "rescore": (
        Option("", "tuned", always=True),
        Option("--k", "k"),
        *POOL,
        *METHOD,
        RULES,
        POSITIONS,
        NO_CACHE,
    ),
    "experiment": (
        Option("", "file", always=True),
        *_options("", {"--data-dir": "data_dir", "--jobs": "jobs"}),
        Option("--device", "design.device"),
    ),
    "undo": (
        Option("", "tuned", always=True),
        *_options(
            "",
            {
                "--heads": "heads",
                "--most": "most",
                "--step": "step",
                "--most-lost": "most_lost",
                "--most-undone": "most_undone",
                "--seed": "seed",
                "--final-split": "final_split",
            },
        ),
    ),
    "export": (
        Option("", "tuned", always=True),
        Option("--to", "to", always=True),
        Option("--share", "share"),
        Option("--format", "format"),
    ),
}
TUNING = Tuning(target="")


def arguments(request: AnyRequest) -> list[str]:
    """The shell arguments behind the program's name; parsed again they give an equal request."""
    written = [request.kind]
    for option in (*OPTIONS[request.kind], Option("--name", "name")):
        value = _value(request, option.field)
        if option.switch is not None:
            written += [option.flag] if value == option.switch else []
        elif option.always or value != _default(request, option.field):
            items = value if option.repeated else (value,)
            for item in items:
                written += [*filter(None, [option.flag]), _text(item)]
    return written


def shell_command(request: AnyRequest) -> str:
    """The command that repeats a run as a new one, from the request's `cwd`."""
    return shlex.join(["python", "-m", "ctsft", *arguments(request)])


def _value(request: Any, field: str) -> Any:
    for name in field.split("."):
        request = getattr(request, name)
    return request


def _default(request: AnyRequest, field: str) -> Any:
    first, _, rest = field.partition(".")
    default = type(request).model_fields[first].get_default(call_default_factory=True)
    if not rest:
        return default
    if first == "design":
        return type(request.design).model_fields[rest].default
    return _value(TUNING if first == "tuning" else default, rest)


def _text(value: Any) -> str:
    """A value as the shell reads it back to the same one."""
    if value is None:
        return ""
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)
