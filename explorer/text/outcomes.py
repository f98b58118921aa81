"""What tuning runs came to, in sentences that claim no more than the numbers do.

Rows are those of `ctsft.results.compare`. `noise` is two standard errors of the difference of two
accuracies, as if each had been measured on rows of its own: cautious here, where both see the same
rows, and blind to the seed, which every sentence says.
"""

from collections import Counter
from collections.abc import Mapping

from explorer.text.markdown import literal

WHAT = {  # what moves -> its name, and one sentence; {k} is the circuit's size
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
    "norms": ("Norms only", "No head at all: only the norms, which move with the heads too."),
    "full": ("Everything", "Every number of the model: ordinary fine-tuning, to compare with."),
    "advised": (
        "Advised heads",
        "The {k} heads that the target asks for and the source can spare, and every norm.",
    ),
    "direct": (
        "Everything, from the base model",
        "Ordinary fine-tuning without the competence stage, to see what that stage is worth.",
    ),
    "lora": ("LoRA", "Low-rank adapters in every layer; nothing else moves."),
    "lora_circuit": (
        "LoRA in the circuit's layers",
        "Low-rank adapters only in the layers where the circuit has heads.",
    ),
    "edited": ("Circuit file", "The heads of a circuit file, and every norm."),
}

ENDED = ("done", "stopped")

DIFFERING = (
    ("target", "{}"),
    ("n", "n={}"),
    ("epochs", "{:g} epochs"),
    ("learning_rate", "lr {:g}"),
    ("seed", "seed {}"),
)

Counts = Mapping[str, int]  # language -> rows that its accuracy was measured on


def said(language: str) -> str:
    """A language's (or a run's) name as words of a sentence, with nothing left that Markdown would
    read as a sign.
    """
    words = str(language).replace("_", " ")
    return literal(words[:1].upper() + words[1:])


def noise(a: float, b: float, rows: int) -> float:
    """Two standard errors of a - b; accuracies are drawn towards 1/2 a little, so that 1.0 is not
    taken for certain.
    """
    variance = sum(
        p * (1 - p) / rows for p in ((share * rows + 1) / (rows + 2) for share in (a, b))
    )
    return 2 * variance**0.5


def moved(row: Mapping) -> str:
    """What a run moved, in a few words: "Circuit (6 heads)"."""
    name = WHAT.get(row["what"], (str(row["what"]),))[0]
    short = name.removesuffix(" heads")
    return f"{short} ({row['heads']} heads)" if row.get("heads") is not None else name


def names(rows: list[Mapping]) -> list[str]:
    """A short and unique name for each row: its own if it was given one, else what moved and every
    setting in which the rows differ.
    """
    told = [(key, form) for key, form in DIFFERING if len({row[key] for row in rows}) > 1]
    found: dict[str, None] = {}
    times: Counter[str] = Counter()
    for row in rows:
        name = called = row.get("name") or ", ".join(
            [moved(row), *(form.format(row[key]) for key, form in told)]
        )
        times[name] += 1
        while called in found:
            times[name] += called != name
            called = f"{name} #{times[name]}"
        found[called] = None
    return list(found)


def change(row: Mapping, side: str, counts: Counts) -> str:
    """ "English (target) 0.36 → 0.52, a gain beyond noise" """
    before, after, language = row[f"{side}_before"], row[f"{side}_after"], row[side]
    text = f"{said(language)} ({side}) {before:.2f} → {after:.2f}"
    if before == after:
        return f"{text}, unchanged"
    kind = "gain" if after > before else "loss"
    if not counts.get(language):
        return f"{text}, a {kind}"
    return (
        f"{text}, a {kind}"
        f" {'beyond' if abs(after - before) > noise(before, after, counts[language]) else 'within'}"
        " noise"
    )


def outcome(row: Mapping, counts: Counts, split: str = "test") -> str:
    """One run, when it is over."""
    text = f"{moved(row)}: {change(row, 'target', counts)}; {change(row, 'source', counts)}."
    languages = [row["target"], row["source"]]
    if not all(counts.get(language) for language in languages):
        return (
            text
            + " How many rows that was measured on is not known here, so small differences may be"
            " noise."
        )
    limits = [
        noise(row[f"{side}_before"], row[f"{side}_after"], counts[row[side]])
        for side in ("target", "source")
    ]
    return (
        f"{text} Measured on {rows_said(counts, languages)} {split} rows: differences below about"
        f" {max(limits):.2f} (two standard errors) are noise, and another seed can come out"
        " differently."
    )


def rows_said(counts: Counts, languages: list[str]) -> str:
    sizes = [counts[language] for language in languages]
    return (
        str(sizes[0])
        if len(set(sizes)) == 1
        else " and ".join(
            f"{size} {said(name)}" for size, name in zip(sizes, languages, strict=True)
        )
    )


def summary(rows: list[Mapping], counts: Counts) -> list[str]:
    """For each target: which of the finished runs kept most of the source, which gained most, and
    how little that may mean. Runs that were stopped early are left out: they had fewer steps.
    """
    finished = [row for row in rows if row["state"] == "done"]
    return [
        _of_target([row for row in finished if row["target"] == target], counts)
        for target in dict.fromkeys(row["target"] for row in finished)
    ]


def _of_target(rows: list[Mapping], counts: Counts) -> str:
    source, target = said(rows[0]["source"]), said(rows[0]["target"])
    if len(rows) == 1:
        return (
            f"One finished run on {target}: {change(rows[0], 'target', counts)};"
            f" {change(rows[0], 'source', counts)}. Run another to compare with."
        )
    called = dict(zip((row["run"] for row in rows), names(rows), strict=True))
    kept, gained = (
        sorted(rows, key=lambda row, by=by: row[by], reverse=True)
        for by in ("source_after", "target_after")
    )

    def lead(order, side):
        first, second = (row[f"{side}_after"] for row in order[:2])
        if first == second:
            return "shared with the next"
        size = counts.get(rows[0][side])
        verdict = (
            f", {'beyond' if first - second > noise(first, second, size) else 'within'} noise"
            if size
            else ""
        )
        return (
            f"{'less than 0.01' if first - second < 0.005 else f'{first - second:.2f}'} ahead of"
            f" the next{verdict}"
        )

    text = (
        f"Of {len(rows)} finished runs on {target}, “{said(called[kept[0]['run']])}” kept most of"
        f" {source} ({kept[0]['source_before']:.2f} → {kept[0]['source_after']:.2f};"
        f" {lead(kept, 'source')}) and “{said(called[gained[0]['run']])}” reached most {target}"
        f" ({gained[0]['target_before']:.2f} → {gained[0]['target_after']:.2f};"
        f" {lead(gained, 'target')})."
    )
    seeds, sizes = (
        {row["seed"] for row in rows},
        {counts.get(rows[0][side]) for side in ("source", "target")} - {None},
    )
    measured = f", {' and '.join(map(str, sorted(sizes)))} rows a language" if sizes else ""
    text += (
        f" {'One seed' if len(seeds) == 1 else f'{len(seeds)} seeds'}{measured}: the order may"
        " change with another seed."
    )
    settings = {row["setting"] for row in rows}
    return text + (
        " These runs differ in more than what moves (rows, epochs, learning rate or model)."
        if len(settings) > 1
        else ""
    )
