"""The settings of a tuning run under one name each: in which of them runs agree, and as texts."""

from ctsft.jobs.requests import Subject, Tuning
from ctsft.tuning.config import TuneConfig

# shown below the table where all runs agree
MAIN = (
    "model",
    "task",
    "source",
    "target",
    "n",
    "setting",
    "epochs",
    "learning_rate",
    "batch_size",
    "seed",
    "measured_on",
)

SHORT = {"learning_rate": "lr", "batch_size": "batch", "measured_on": "split"}

# settings that do not change the result
NO_EFFECT = {"eval_every", "checkpoint_every", "report_to"}


def settings_of(subject: Subject, tuning: Tuning, config: TuneConfig) -> dict:
    """Every setting of a run except what is trained, under one name each; paths and what changes
    no number are left out.
    """
    named = {
        "model": subject.model,
        "task": subject.task,
        "data_dir": subject.data_dir,
        "source": subject.language,
        "target": tuning.target,
        "n": tuning.n,
        "pool": tuning.pool,
        "curves_on": tuning.eval_split,
        "related": list(tuning.related),
        "related_tasks": list(tuning.related_tasks),
        "text": tuning.text or ("source rows" if tuning.perplexity else None),
    }
    return named | config.model_dump(exclude=NO_EFFECT)


def common_settings(rows: list[dict]) -> tuple[dict, list[str]]:
    """Settings in which all rows agree, with their value, and the names of those in which they
    differ.
    """
    names = list(dict.fromkeys(name for row in rows for name in row["settings"]))
    values = {name: [row["settings"].get(name) for row in rows] for name in names}
    same = {
        name: settings[0]
        for name, settings in values.items()
        if all(value == settings[0] for value in settings)
    }
    return same, [name for name in names if name not in same]


def setting(subject: Subject, tuning: Tuning, config: TuneConfig) -> str:
    """What has to be equal for two runs to be compared fairly, in a few words."""
    return (
        f"{subject.model} on {subject.task}, {tuning.target}, n={tuning.n},"
        f" {config.epochs:g} epochs, lr {config.learning_rate:g}"
    )


def setting_text(value) -> str:
    """A setting as text: 0.003, yes, q and v."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " and ".join(map(str, value))
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
