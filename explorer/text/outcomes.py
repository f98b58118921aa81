"""The results of tuning runs in sentences that claim no more than the numbers show.

Rows are those of the table of tuning runs. Before and after, and run and run, are compared on the
same texts by the exact McNemar test; the p of what is shown together are adjusted together (Holm).
That says nothing of the seed, which every sentence mentions.
"""

from collections.abc import Callable, Mapping
from itertools import combinations

from ctsft.runs.answers import Answers
from ctsft.utils.figures import Count, Figure, shown_as
from ctsft.utils.paired_rows import change as paired_change
from ctsft.utils.paired_rows import pairwise_p
from ctsft.utils.statistics import holm
from explorer.text.run_names import display_name, run_names, trained_text

ENDED = ("done", "stopped")
SIDES = ("target", "source")
SMALLEST_SHOWN = 0.005  # smaller differences of accuracy are written as "less than 0.01"
MOST_PAIRED = 200  # runs that are all compared with each other
SMALLEST_P = 0.001
NOT_STORED = "which texts changed is not stored, so there is no test"

RunAnswers = Mapping[str, Answers]  # language -> of one run
AnswersOf = Callable[[str], RunAnswers]  # by a run's id


def p_text(p: float) -> str:
    return shown_as(p, f"p < {SMALLEST_P}") if p < SMALLEST_P else f"p = {p:.2g}"


def changes(row: Mapping, answers: RunAnswers) -> list[str]:
    """ "English (target) 0.667 → 0.542, 29 texts lost, 14 won (p = 0.03)" for target and source;
    p by the exact McNemar test, adjusted for both.
    """
    tests = {
        side: paired_change(answers[row[side]].before, answers[row[side]].after)
        for side in SIDES
        if row[side] in answers
    }
    values = [Figure(test.p, "p", row["run"], row[side]) for side, test in tests.items()]
    adjusted = dict(zip(tests, holm(values), strict=True))
    texts = []
    for side in SIDES:
        before, after = row[f"{side}_before"], row[f"{side}_after"]
        text = f"{display_name(row[side])} ({side}) {before:.3f} → {after:.3f}"
        if side in tests:
            test = tests[side]
            lost = Count(test.lost, "lost", row["run"], row[side])
            won = Count(test.won, "won", row["run"], row[side])
            texts_lost = f"{lost} text" if lost == 1 else f"{lost} texts"
            text += f", {texts_lost} lost, {won} won ({p_text(adjusted[side])})"
        texts.append(text)
    return texts


def outcome(row: Mapping, answers: RunAnswers, split: str = "test") -> str:
    """The result of one run that has ended; in the line below it, what it rests on."""
    text = f"{trained_text(row)}: {'; '.join(changes(row, answers))}.{on_the_way(row)}"
    languages = [row[side] for side in SIDES]
    if not all(language in answers for language in languages):
        return f"{text}\nFor this run {NOT_STORED}; another seed can give another result."
    counts = {language: len(answers[language].ids) for language in languages}
    return (
        f"{text}\nExact McNemar tests on the same {row_counts(counts, languages)} {split} rows, p"
        " adjusted for both languages (Holm); another seed can give another result."
    )


def on_the_way(row: Mapping) -> str:
    """The lowest point of the source's curve and the area lost; "" where they are not known."""
    if row.get("source_lowest") is None:
        return ""
    return (
        f" On the way the {display_name(row['source'])} curve went down to"
        f" {row['source_lowest']:.3f}, and lost {row['source_area_lost']:+.3f} on average.".replace(
            "-", "−"
        )
    )


def row_counts(counts: Mapping[str, int], languages: list[str]) -> str:
    """ "120", or "120 English and 60 Thai" where they differ."""
    sizes = [counts[language] for language in languages]
    if len(set(sizes)) == 1:
        return str(sizes[0])
    return " and ".join(f"{counts[name]} {display_name(name)}" for name in languages)


def summary(rows: list[Mapping], answers: AnswersOf) -> list[str]:
    """For each target: which finished run has the highest accuracy on the source and on the target,
    and by which texts it leads. Runs that were stopped early are left out: they had fewer steps.
    """
    finished = [row for row in rows if row["state"] == "done"]
    return [
        target_summary([row for row in finished if row["target"] == target], answers)
        for target in dict.fromkeys(row["target"] for row in finished)
    ]


def target_summary(rows: list[Mapping], answers: AnswersOf) -> str:
    """Runs are ranked among those with the same settings and seed; others are counted. In the line
    below the finding stands what it rests on.
    """
    target = display_name(rows[0]["target"])
    if len(rows) == 1:
        of_run = answers(rows[0]["run"])
        return (
            f"One finished run on {target}: {'; '.join(changes(rows[0], of_run))}. Run another one"
            " to compare with."
        )
    names = dict(zip((row["run"] for row in rows), run_names(rows), strict=True))
    alike = largest_alike(rows)
    if len(alike) == 1:
        return (
            f"The {len(rows)} finished runs on {target} are not ranked: {difference(rows)} To"
            " compare ways of tuning, run them with the same settings and the same seed."
        )
    tests = pair_tests(alike, answers)
    which = f"{len(alike)} finished runs on {target}"
    text = (
        f"Of {which}, {best(alike, 'source', names, tests)} and"
        f" {best(alike, 'target', names, tests)}.\n{reliability(alike, answers, bool(tests))}"
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
    further = (settings.get(name) for name in ("batch_size", "measured_on", "data_dir"))
    return (row["setting"], row["source"], row["target"], row["seed"], *further)


def difference(rows: list[Mapping]) -> str:
    if len({measured_alike({**row, "seed": 0}) for row in rows}) > 1:
        return "they differ in more than what is trained (rows, epochs, learning rate or model)."
    return "they have different seeds."


# {(side, one run, another run): (texts that only the one has right, only the other, adjusted p)}
PairTests = Mapping[tuple[str, str, str], tuple[int, int, float]]


def pair_tests(rows: list[Mapping], answers: AnswersOf) -> PairTests:
    """The exact McNemar test of every two runs on the same rows, p adjusted over all of them; {}
    where the runs' answers are not stored, or are of different rows.
    """
    found, keys, values = {}, [], []
    for side in SIDES:
        of_runs = {row["run"]: answers(row["run"]).get(row[side]) for row in rows}
        if None in of_runs.values() or len({one.hash for one in of_runs.values()}) > 1:
            return {}
        if len(of_runs) > MOST_PAIRED:
            return {}
        p = pairwise_p([one.after for one in of_runs.values()])
        for (i, one), (j, other) in combinations(enumerate(of_runs), 2):
            test = paired_change(of_runs[one].after, of_runs[other].after)
            language = rows[0][side]
            found[side, one, other] = (
                Count(test.lost, "only", one, other, language),
                Count(test.won, "only", other, one, language),
            )
            keys.append((side, one, other))
            values.append(Figure(p[i, j], "p_between", one, other, language))
    tests = {}
    for key, p in zip(keys, holm(values), strict=True):
        (side, one, other), (lost, won) = key, found[key]
        tests[key] = (lost, won, p)
        tests[side, other, one] = (won, lost, p)
    return tests


def best(rows: list[Mapping], side: str, names: Mapping[str, str], tests: PairTests) -> str:
    """The run with the highest accuracy on one side, and how far it leads."""
    first, second = sorted(rows, key=lambda row: row[f"{side}_after"], reverse=True)[:2]
    before, after = first[f"{side}_before"], first[f"{side}_after"]
    ahead = lead(after, second[f"{side}_after"], tests.get((side, first["run"], second["run"])))
    return (
        f"“{display_name(names[first['run']])}” has the highest {display_name(first[side])}"
        f" accuracy ({before:.3f} → {after:.3f}; {ahead})"
    )


def lead(first: float, second: float, test: tuple[int, int, float] | None) -> str:
    if first == second:
        return "shared with the next"
    difference = first - second
    text = f"{difference:.2f}"
    if difference < SMALLEST_SHOWN:
        text = shown_as(difference, "less than 0.01")
    text += " ahead of the next"
    if test:
        own, others, p = test
        text += f": {own} texts that only it has right, {others} that only the next, {p_text(p)}"
    return text


def reliability(rows: list[Mapping], answers: AnswersOf, tested: bool) -> str:
    """On how many rows the runs, all of one seed, were measured, and by which test."""
    of_run = answers(rows[0]["run"])
    sizes = sorted({len(of_run[rows[0][side]].ids) for side in SIDES if rows[0][side] in of_run})
    measured = f", {' and '.join(map(str, sizes))} rows for each language" if sizes else ""
    test = (
        " Exact McNemar tests on the same rows, p adjusted over every two of these runs (Holm)."
        if tested
        else f" For some of these runs {NOT_STORED}."
    )
    return f"One seed{measured}: another seed may change the order.{test}"
