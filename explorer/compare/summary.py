"""What the finished runs show, in sentences: by means over seeds, or run by run.

Only runs that were measured alike are ranked: the same targets, settings and seeds. A mean over two
seeds stands beside no single run; the sentence then says which seeds are missing.
"""

from collections.abc import Mapping
from itertools import permutations

from ctsft import runs
from ctsft.plots.frontier_marks import CHANGES
from ctsft.plots.run_frontier import Group, group_points
from ctsft.runs.answers import answers_of
from ctsft.utils.errors import UserError
from ctsft.utils.statistics import Spread, holm, spread
from explorer.compare.points import Points
from explorer.text import outcomes, run_names

MOST_BLOCKS = 3  # sets of groups that are ranked, each in a sentence
MOST_NAMES = 4

Seeds = tuple[int, ...]


def sentences(rows: list[Mapping], of: Points) -> list[str]:
    """`of`: the points of the rows whose runs have ended."""
    groups = group_points(of.points)
    means = seed_means(groups)
    if means and comparable(groups):
        return means
    return [*means, *outcomes.summary(rows, stored_answers)]


def stored_answers(run_id: str) -> outcomes.RunAnswers:
    """{} for a run that was deleted meanwhile."""
    try:
        return answers_of(runs.get(run_id))
    except UserError:
        return {}


def unlike_marks(of: Points) -> str:
    """A sentence about the frontier where its marks were not measured with the same seeds; ""
    where they were.
    """
    if len({seeds_of(group) for group in group_points(of.points)}) < 2:
        return ""
    return "The marks have different seeds: their order, and the line, may change with the others."


def seeds_of(group: Group) -> Seeds:
    return tuple(sorted(point["seed"] for point in group.points))


def comparable(groups: list[Group]) -> list[list[Group]]:
    """The groups that differ only in what is trained, where there are several of them with several
    seeds; the largest set first.
    """
    blocks: dict[tuple[str, Seeds], list[Group]] = {}
    for group in groups:
        if group.seeds > 1:
            blocks.setdefault((group.settings, seeds_of(group)), []).append(group)
    several = [block for block in blocks.values() if len(block) > 1]
    return sorted(several, key=lambda block: (len(block), block[0].seeds), reverse=True)


def seed_means(groups: list[Group]) -> list[str]:
    """What means over seeds show; nothing where no group has two seeds."""
    several = [group for group in groups if group.seeds > 1]
    if not several:
        return []
    blocks = comparable(groups)[:MOST_BLOCKS]
    if not blocks:
        best = max(several, key=lambda group: group.seeds)
        return [f"{mean_of_one(best)} {unranked(groups, best)}".strip()]
    ranked = [group for block in blocks for group in block]
    others = [group for group in groups if group not in ranked]
    text = " ".join(map(ranking, blocks))
    text += (  # a line of its own: what the finding rests on
        "\nIntervals are by Student's t, from three seeds on; p of paired differences over the same"
        " seeds, adjusted over every two ways (Holm)."
    )
    if others:
        text += (
            f" Not ranked, because the seeds or the settings are others: {listed(others)}."
            f" {advice(blocks[0][0], others)}"
        )
    return [text]


def first_ranking(of: Points) -> str:
    """What means over seeds show of the largest set of groups that can be compared, in a sentence;
    "" where there is none.
    """
    blocks = comparable(group_points(of.points))
    return ranking(blocks[0]) if blocks else ""


def ranking(block: list[Group]) -> str:
    tests = seed_tests(block)
    leaders = {}
    for side in CHANGES:
        first, second = sorted(block, key=lambda group: getattr(group, side).mean, reverse=True)[:2]
        text = f"{interval(getattr(first, side))}"
        if (side, first.title, second.title) in tests:
            ahead, p = tests[side, first.title, second.title]
            text += f"; {interval(ahead)} ahead of the next, {outcomes.p_text(p)}"
        leaders[side] = (name(first), text)
    (source, of_source), (target, of_target) = (leaders[side] for side in CHANGES)
    other = "" if source == target else f"{source} "
    return (
        f"By means over {block[0].seeds} seeds, {target} gained most on the target"
        f" ({of_target}) and {other}forgot least of the source ({of_source})."
    )


def seed_tests(block: list[Group]) -> dict[tuple[str, str, str], tuple[Spread, float]]:
    """{(side, one title, another): the paired difference over the seeds, its adjusted p}; {} for
    fewer than three seeds.
    """
    leads = {}
    for side in CHANGES:
        values = {
            group.title: {point["seed"]: point[side] for point in group.points} for group in block
        }
        for one, other in permutations(values, 2):
            seeds = values[one].keys() & values[other].keys()
            ahead = spread(values[one][seed] - values[other][seed] for seed in sorted(seeds))
            if ahead.p is not None:
                leads[side, one, other] = ahead
    # a pair and its reverse are one test
    tests = {(side, frozenset(pair)): ahead.p for (side, *pair), ahead in leads.items()}
    adjusted = dict(zip(tests, holm(list(tests.values())), strict=True))
    return {
        (side, *pair): (ahead, adjusted[side, frozenset(pair)])
        for (side, *pair), ahead in leads.items()
    }


def mean_of_one(group: Group) -> str:
    return (
        f"By means over {group.seeds} seeds, {name(group)} changed the target by"
        f" {interval(group.target_change)}, and the source by {interval(group.source_change)}."
    )


def unranked(groups: list[Group], best: Group) -> str:
    others = [group for group in groups if group is not best]
    if not others:
        return "Run another way of tuning with the same seeds to compare with."
    return f"It is not ranked with {listed(others)}. {advice(best, others)}"


def advice(group: Group, others: list[Group]) -> str:
    differ = any(other.settings != group.settings for other in others)
    settings = " and the same settings" if differ else ""
    seeds = ", ".join(map(str, seeds_of(group)))
    return f"To compare them, run each with the seeds {seeds}{settings}."


def listed(groups: list[Group]) -> str:
    """The names of groups with their seeds."""
    names = [
        f"{name(group)} ({'seed' if group.seeds == 1 else 'seeds'}"
        f" {', '.join(map(str, seeds_of(group)))})"
        for group in groups
    ]
    more = [f"{len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else []
    return ", ".join([*names[:MOST_NAMES], *more])


def name(group: Group) -> str:
    return f"“{run_names.display_name(group.title)}”"


def interval(of: Spread) -> str:
    text = f"{of.mean:+.3f}"
    if of.low is not None:
        text += f", 95 % [{of.low:+.3f}, {of.high:+.3f}]"
    return text.replace("-", "−")
