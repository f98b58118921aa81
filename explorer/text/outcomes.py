"""The results of tuning runs in sentences that claim no more than the numbers show.

Rows are those of the table of tuning runs. Noise is two standard errors of the difference of two
accuracies, as if each had been measured on its own rows. That is cautious here, where both are
measured on the same rows, and it does not include the seed, which every sentence mentions.
"""

from collections.abc import Mapping
from math import sqrt

from explorer.text.run_names import display_name, run_names, trained_text

ENDED = ("done", "stopped")
SIDES = ("target", "source")
SMALLEST_SHOWN = 0.005  # smaller differences of accuracy are written as "less than 0.01"

Counts = Mapping[str, int]  # language -> number of rows that its accuracy was measured on


def noise(a: float, b: float, rows: int) -> float:
    """Two standard errors of a - b. Both accuracies are shifted a little towards 1/2, so that 1.0
    is not taken as certain.
    """
    adjusted = [(share * rows + 1) / (rows + 2) for share in (a, b)]
    return 2 * sqrt(sum(p * (1 - p) / rows for p in adjusted))


def against_noise(a: float, b: float, rows: int) -> str:
    return "beyond noise" if abs(a - b) > noise(a, b, rows) else "within noise"


def change(row: Mapping, side: str, counts: Counts) -> str:
    """ "English (target) 0.36 → 0.52, a gain beyond noise" """
    before, after, language = row[f"{side}_before"], row[f"{side}_after"], row[side]
    text = f"{display_name(language)} ({side}) {before:.2f} → {after:.2f}"
    if before == after:
        return f"{text}, unchanged"
    kind = "gain" if after > before else "loss"
    if not counts.get(language):
        return f"{text}, a {kind}"
    return f"{text}, a {kind} {against_noise(after, before, counts[language])}"


def outcome(row: Mapping, counts: Counts, split: str = "test") -> str:
    """The result of one run that has ended."""
    changes = "; ".join(change(row, side, counts) for side in SIDES)
    text = f"{trained_text(row)}: {changes}."
    languages = [row[side] for side in SIDES]
    if not all(counts.get(language) for language in languages):
        return (
            f"{text} The number of rows that this was measured on is not known here, so small"
            " differences may be noise."
        )
    limit = max(
        noise(row[f"{side}_before"], row[f"{side}_after"], counts[row[side]]) for side in SIDES
    )
    return (
        f"{text} Measured on {row_counts(counts, languages)} {split} rows: differences below about"
        f" {limit:.2f} (two standard errors) are noise, and another seed can give another result."
    )


def row_counts(counts: Counts, languages: list[str]) -> str:
    """ "120", or "120 English and 60 Thai" where they differ."""
    sizes = [counts[language] for language in languages]
    if len(set(sizes)) == 1:
        return str(sizes[0])
    return " and ".join(f"{counts[name]} {display_name(name)}" for name in languages)


def summary(rows: list[Mapping], counts: Counts) -> list[str]:
    """For each target: which finished run has the highest accuracy on the source and on the target,
    and whether the lead is beyond noise. Runs that were stopped early are left out: they had fewer
    steps.
    """
    finished = [row for row in rows if row["state"] == "done"]
    return [
        target_summary([row for row in finished if row["target"] == target], counts)
        for target in dict.fromkeys(row["target"] for row in finished)
    ]


def target_summary(rows: list[Mapping], counts: Counts) -> str:
    """Runs are ranked among those with the same settings and seed; others are counted."""
    target = display_name(rows[0]["target"])
    if len(rows) == 1:
        return (
            f"One finished run on {target}: {change(rows[0], 'target', counts)};"
            f" {change(rows[0], 'source', counts)}. Run another one to compare with."
        )
    names = dict(zip((row["run"] for row in rows), run_names(rows), strict=True))
    alike = largest_alike(rows)
    if len(alike) == 1:
        return (
            f"The {len(rows)} finished runs on {target} are not ranked: {difference(rows)} To"
            " compare ways of tuning, run them with the same settings and the same seed."
        )
    which = f"{len(alike)} finished runs on {target}"
    text = (
        f"Of {which}, {best(alike, 'source', names, counts)} and"
        f" {best(alike, 'target', names, counts)}. {reliability(alike, counts)}"
    )
    if others := len(rows) - len(alike):
        subject = "1 other run is" if others == 1 else f"{others} other runs are"
        text += f" {subject} not ranked with them: {difference(rows)}"
    return text


def largest_alike(rows: list[Mapping]) -> list[Mapping]:
    """The most runs that differ only in what is trained; the first of equally many."""
    groups: dict[tuple, list[Mapping]] = {}
    for row in rows:
        groups.setdefault(measured_alike(row), []).append(row)
    return max(groups.values(), key=len)


def measured_alike(row: Mapping) -> tuple:
    """What two runs have in common whose accuracies can be ranked."""
    settings = row.get("settings", {})
    further = (settings.get(name) for name in ("batch_size", "eval_split", "data_dir"))
    return (row["setting"], row["source"], row["target"], row["seed"], *further)


def difference(rows: list[Mapping]) -> str:
    if len({measured_alike({**row, "seed": 0}) for row in rows}) > 1:
        return "they differ in more than what is trained (rows, epochs, learning rate or model)."
    return "they have different seeds."


def best(rows: list[Mapping], side: str, names: Mapping[str, str], counts: Counts) -> str:
    """The run with the highest accuracy on one side, and how far it leads."""
    first, second = sorted(rows, key=lambda row: row[f"{side}_after"], reverse=True)[:2]
    before, after = first[f"{side}_before"], first[f"{side}_after"]
    ahead = lead(after, second[f"{side}_after"], counts.get(rows[0][side]))
    return (
        f"“{display_name(names[first['run']])}” has the highest {display_name(first[side])}"
        f" accuracy ({before:.2f} → {after:.2f}; {ahead})"
    )


def lead(first: float, second: float, rows: int | None) -> str:
    if first == second:
        return "shared with the next"
    difference = first - second
    size = f"{difference:.2f}" if difference >= SMALLEST_SHOWN else "less than 0.01"
    verdict = f", {against_noise(first, second, rows)}" if rows else ""
    return f"{size} ahead of the next{verdict}"


def reliability(rows: list[Mapping], counts: Counts) -> str:
    """On how many rows the runs, all of one seed, were measured."""
    sizes = sorted({counts.get(rows[0][side]) for side in SIDES} - {None})
    measured = f", {' and '.join(map(str, sizes))} rows for each language" if sizes else ""
    return f"One seed{measured}: another seed may change the order."
