"""Names of recipes, runs and languages in sentences and charts.

Rows are those of the table of tuning runs.
"""

from collections import Counter
from collections.abc import Mapping

from explorer.text.markdown import literal

RECIPES = {  # recipe -> its name, and one sentence on what is trained; {k} is the circuit's size
    "circuit": ("Circuit", "The {k} heads of the Circuit page, and every norm."),
    "near_zero": (
        "Near-zero heads",
        "Control: the {k} heads whose relevance is closest to zero, and every norm.",
    ),
    "least": (
        "Least relevant heads",
        "Control: the {k} heads with the lowest relevance, and every norm.",
    ),
    "random": ("Random heads", "Control: {k} heads drawn with the seed below, and every norm."),
    "norms": ("Norms only", "No heads: only the norms, which are trained with the heads too."),
    "full": (
        "Everything",
        "All parameters of the model: ordinary fine-tuning, for comparison.",
    ),
    "advised": (
        "Advised heads",
        "The {k} heads with the most expected gain on the target for the loss on the source, and"
        " every norm.",
    ),
    "direct": (
        "Everything, from the base model",
        "Ordinary fine-tuning without the competence stage, to see what that stage contributes.",
    ),
    "ssu": (
        "Source-shielded (SSU)",
        "Everything but the half of each matrix's columns that source rows need most.",
    ),
    "fggm": (
        "Fisher mask (FGGM)",
        "Of each parameter the 30 % of rows with the most information on the target rows.",
    ),
    "lora": ("LoRA", "Low-rank adapters in every layer; nothing else is trained."),
    "lora_circuit": (
        "LoRA in the circuit's layers",
        "Low-rank adapters only in the layers where the circuit has heads.",
    ),
    "edited": ("Circuit file", "The heads of a circuit file, and every norm."),
}

SETTINGS = {  # settings that tell runs apart -> how they are written
    "target": "{}",
    "n": "n={}",
    "epochs": "{:g} epochs",
    "learning_rate": "lr {:g}",
    "seed": "seed {}",
}


def display_name(name: str) -> str:
    """The name of a language or a run as it stands in a Markdown sentence: spaces instead of
    underscores, a capital first, Markdown escaped.
    """
    text = str(name).replace("_", " ")
    return literal(text[:1].upper() + text[1:])


# methods of an experiment that are no recipe of their own
METHODS = {
    "full_held": "Everything, held",
    "circuit_held": "Circuit, held",
    "near_zero_held": "Near-zero heads, held",
    "replay": "Everything, with source rows",
}


def method_name(method: str) -> str:
    """The name of a method of an experiment."""
    return METHODS.get(method) or recipe_name(method)


def recipe_name(recipe: str) -> str:
    """The name of a recipe, readable also for one that is not known here."""
    return RECIPES[recipe][0] if recipe in RECIPES else str(recipe).replace("_", " ")


def held_name(row: Mapping) -> str:
    """What a run trained, and whether the source was held: "Everything, held"."""
    return with_hold(recipe_name(row["what"]), row)


def with_hold(name: str, row: Mapping) -> str:
    return f"{name}, held" if row.get("hold") else name


def trained_text(row: Mapping) -> str:
    """What a run trained, in a few words: "Circuit (6 heads)"."""
    name = recipe_name(row["what"])
    if row.get("heads") is not None:
        name = f"{name.removesuffix(' heads')} ({row['heads']} heads)"
    return with_hold(name, row)


def run_names(rows: list[Mapping]) -> list[str]:
    """A short and unique name for each row: the name that the user gave it, otherwise what was
    trained and every setting in which the rows differ.
    """
    differing = [key for key in SETTINGS if len({row[key] for row in rows}) > 1]
    unique: dict[str, None] = {}
    times: Counter[str] = Counter()
    for row in rows:
        settings = [SETTINGS[key].format(row[key]) for key in differing]
        name = row.get("name") or ", ".join([trained_text(row), *settings])
        times[name] += 1
        numbered = name
        while numbered in unique:
            times[name] += numbered != name
            numbered = f"{name} #{times[name]}"
        unique[numbered] = None
    return list(unique)
