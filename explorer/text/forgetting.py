"""What the recorded runs show about forgetting: computed from the answers to the same test rows
before and after tuning, over several seeds. Nothing is decided by hand: where no test shows an
effect, the sentence says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ctsft.runs.answers import Answers
from ctsft.utils.paired_rows import change, right_rows
from ctsft.utils.statistics import Spread, holm, spread
from explorer.text.outcomes import p_text
from explorer.text.run_names import display_name, method_name

LEVEL = 0.05  # of p, after the adjustment
EVERYTHING = "full"  # the method that the others are compared with

AnswersBySeed = Mapping[int, Answers]


@dataclass(frozen=True)
class Forgetting:
    """source: {method: its change of source accuracy over the seeds}; lost: the number of seeds in
    which more texts were lost than won (exact McNemar, adjusted over all runs), by method; ahead:
    {method: how much more of the source it kept than training everything, paired by seed, and its
    adjusted p}. rows: of the source; seeds: their number.
    """

    language: str
    rows: int
    seeds: int
    source: Mapping[str, Spread]
    lost: Mapping[str, int]
    ahead: Mapping[str, tuple[Spread, float]]


def measure(language: str, methods: Mapping[str, AnswersBySeed]) -> Forgetting | None:
    """methods: {method: {seed: answers in the source language}}. None unless everything was trained
    too, and all answers are to the same rows with the same seeds.
    """
    every = [answers for seeds in methods.values() for answers in seeds.values()]
    same_rows = len({answers.hash for answers in every}) == 1
    same_seeds = len({tuple(sorted(seeds)) for seeds in methods.values()}) == 1
    if EVERYTHING not in methods or not same_rows or not same_seeds:
        return None
    accuracy = {
        method: {seed: (share(of.before), share(of.after)) for seed, of in seeds.items()}
        for method, seeds in methods.items()
    }
    return Forgetting(
        language=language,
        rows=len(every[0].ids),
        seeds=len(methods[EVERYTHING]),
        source={
            method: spread(after - before for before, after in seeds.values())
            for method, seeds in accuracy.items()
        },
        lost=seeds_that_lost(methods),
        ahead=kept_more(accuracy),
    )


def share(right: str) -> float:
    return float(right_rows(right).mean())


def seeds_that_lost(methods: Mapping[str, AnswersBySeed]) -> dict[str, int]:
    tests = [
        (method, change(answers.before, answers.after))
        for method, seeds in methods.items()
        for answers in seeds.values()
    ]
    adjusted = holm([test.p for _, test in tests])
    counts = dict.fromkeys(methods, 0)
    for (method, test), p in zip(tests, adjusted, strict=True):
        counts[method] += test.lost > test.won and p < LEVEL
    return counts


def kept_more(accuracy: Mapping[str, Mapping[int, tuple]]) -> dict[str, tuple[Spread, float]]:
    reference = accuracy[EVERYTHING]
    ahead = {
        method: spread(seeds[seed][1] - reference[seed][1] for seed in sorted(seeds))
        for method, seeds in accuracy.items()
        if method != EVERYTHING
    }
    if any(of.p is None for of in ahead.values()):  # too few seeds for a test
        return {}
    adjusted = holm([of.p for of in ahead.values()])
    return {method: (of, p) for (method, of), p in zip(ahead.items(), adjusted, strict=True)}


def sentence(of: Forgetting) -> str:
    """What training everything did to the source, and what the other methods kept."""
    everything = of.source[EVERYTHING]
    return (
        f"On the same {of.rows} {display_name(of.language)} test rows, training everything"
        f" {verdict(everything)}: {interval(everything)} ({of.seeds} seeds; more texts lost than"
        f" won in {of.lost[EVERYTHING]}). {compared(of)}"
    ).strip()


def verdict(everything: Spread) -> str:
    if everything.high is not None and everything.high < 0:
        return "forgot"
    if everything.low is not None and everything.low > 0:
        return "gained"
    return "shows no clear forgetting"


def compared(of: Forgetting) -> str:
    """Which methods kept more or less of the source than training everything."""
    texts = []
    for word, sign in (("More remained with", 1), ("Less remained with", -1)):
        clear = {
            method: ahead
            for method, ahead in of.ahead.items()
            if ahead[1] < LEVEL and ahead[0].mean * sign > 0
        }
        if clear:
            listed = ", ".join(f"{name(key)} {signed(one.mean)}" for key, (one, _) in clear.items())
            largest = max(p for _, p in clear.values())
            texts.append(f"{word} {listed} ({at_most(largest)}).")
    unclear = [name(method) for method, (_, p) in of.ahead.items() if p >= LEVEL]
    if unclear:
        texts.append(f"No clear difference: {', '.join(unclear)}.")
    return " ".join(texts)


def at_most(p: float) -> str:
    return p_text(p).replace("p =", "p ≤")


def name(method: str) -> str:
    text = method_name(method).replace(",", "")  # the names stand in a list
    return text[:1].lower() + text[1:]


def interval(of: Spread) -> str:
    text = signed(of.mean)
    if of.low is not None:
        text += f", 95 % {signed(of.low)} to {signed(of.high)}"
    return text


def signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


HELP = (
    "Right or wrong before and after on the same rows. Lost and won texts: exact McNemar tests, p"
    " adjusted over all runs (Holm). Means over seeds have intervals by Student's t; methods are"
    " compared with training everything seed by seed, p adjusted over the methods (Holm). Curves"
    " are of validation rows, the sentence of test rows."
)
