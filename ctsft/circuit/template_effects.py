"""Does a circuit belong to the task, or to the prompt it was found with? Head maps for every
template, language, pool and seed, and what they depend on (`variance_shares`).

A template is a prompt with its label words. Languages hold translations of the same texts, known by
their ids. Pools are parts of pool A that share no text, the same ids in each language; a seed draws
the discovery set within a pool. As everywhere, a discovery set holds texts that the model answers
correctly, so those of two templates or languages share a part of their texts only: the report says
which (`texts`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import product
from math import prod

import numpy as np

from ctsft.attribution.means import Progress, label_balanced_means
from ctsft.attribution.pool import discovery_set
from ctsft.attribution.score_heads import score_heads
from ctsft.attribution.variants import VARIANTS
from ctsft.circuit.checks import TemplateChecks
from ctsft.circuit.ranking_agreement import TOP_SHARES
from ctsft.circuit.selection import heads_in_fraction
from ctsft.circuit.variance_shares import (
    FACTORS,
    chance_jaccard,
    overlaps,
    shares,
    text_overlap,
)
from ctsft.data.task import Example, Task
from ctsft.data.templates import template_tasks
from ctsft.model.loading import as_model
from ctsft.model.model import Model
from ctsft.utils.errors import UserError, quoted
from ctsft.utils.format import head_name

LANGUAGES = 3  # that are compared where none are named

# stage(name) -> progress(done, total)
Stage = Callable[[str], Progress]
Cell = tuple[int, int, int, int]  # numbers of template, language, pool, seed


@dataclass(frozen=True)
class TemplateEffects:
    """The report. `shares` and `overlap` as of `variance_shares`; `tops`: the first heads of each
    map.
    """

    method: str
    size: int
    n_heads: int
    k: int
    chance: float  # Jaccard index of two random sets of k heads
    templates: list[dict]
    languages: list[str]
    pools: int
    seeds: int
    shares: dict[str, dict] = field(default_factory=dict)
    overlap: dict[str, dict] = field(default_factory=dict)
    tops: list[dict] = field(default_factory=list)

    def as_json(self) -> dict:
        return asdict(self)


def compare_templates(
    model, task: Task, checks: TemplateChecks, split: str = "train", stage: Stage | None = None
) -> TemplateEffects:
    """Score the heads for every template, language, pool and seed, and compare the maps.

    Raises UserError for templates, languages or label words that cannot be used, languages whose
    texts are no translations of each other, and where the model answers too few texts correctly;
    it names the template and the language.
    """
    model = as_model(model)
    stage = stage or (lambda name: lambda done, total: None)
    tasks = template_tasks(task, checks.templates)
    languages = checks.languages or default_languages(task, split)
    for name, one in tasks.items():
        with naming(f"Template {quoted(name)}"):
            one.label_ids(model)
    sizes = (len(tasks), len(languages), checks.pools, checks.seeds)
    pools = pools_of(task, tasks, languages, split, checks)
    progress, cells = stage("templates: choosing discovery sets"), {}
    # all of them before any head is scored: one that cannot be drawn ends it at once
    for cell, pool in discovery_sets(model, tasks, pools, languages, checks):
        cells[cell] = pool
        progress(len(cells), prod(sizes))
    progress, maps = stage("templates: scoring"), {}
    named = list(tasks.items())
    variant = VARIANTS[checks.method]
    for done, (cell, pool) in enumerate(cells.items(), 1):
        one = named[cell[0]][1]
        means = label_balanced_means(model, one, pool)
        maps[cell] = score_heads(model, one, pool, means, variant.method, **variant.settings)
        progress(done, len(cells))
    k = heads_in_fraction(TOP_SHARES[-1], len(model.heads))
    rankings = {cell: scores.ranking()[:k] for cell, scores in maps.items()}
    values = np.stack([scores.values.double().numpy().ravel() for scores in maps.values()])
    chance = chance_jaccard(k, len(model.heads))
    texts = text_overlap({cell: {row.id for row in rows} for cell, rows in cells.items()}, sizes)
    common = overlaps({cell: set(heads) for cell, heads in rankings.items()}, sizes, chance)
    return TemplateEffects(
        method=checks.method,
        size=checks.size,
        n_heads=len(model.heads),
        k=k,
        chance=chance,
        templates=[
            {"name": name, "prompt": one.prompt, "labels": list(one.labels)} for name, one in named
        ],
        languages=list(languages),
        pools=checks.pools,
        seeds=checks.seeds,
        shares=shares(values.reshape(*sizes, -1)),
        overlap={name: of | {"texts": texts[name]} for name, of in common.items()},
        tops=[
            dict(zip(FACTORS, cell, strict=True)) | {"heads": [head_name(head) for head in heads]}
            for cell, heads in rankings.items()
        ],
    )


def default_languages(task: Task, split: str) -> tuple[str, ...]:
    """The source language and the first targets that have the split."""
    has = [name for name in task.languages if split in task.splits(name)]
    return tuple(has[:LANGUAGES])


@contextmanager
def naming(what: str) -> Iterator[None]:
    """A UserError inside says which template, and which language, it is about."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{what}: {error}") from None


def pools_of(
    task: Task,
    tasks: dict[str, Task],
    languages: tuple[str, ...],
    split: str,
    checks: TemplateChecks,
) -> dict[tuple[int, int, int], list[Example]]:
    """{(template, language, pool): its rows}: parts of pool A of the first language that share no
    text, as even in the labels as can be, and their translations.
    """
    first = task.pools(task.load(languages[0], split))[0]
    ordered = sorted(first, key=lambda row: task.labels.index(row.label))  # stable within a label
    parts = [[row.id for row in ordered[pool :: checks.pools]] for pool in range(checks.pools)]
    pools = {}
    for (template, one), (number, language) in product(
        enumerate(tasks.values()), enumerate(languages)
    ):
        rows = {row.id: row for row in one.load(language, split)}
        missing = next((row.id for row in first if row.id not in rows), None)
        if missing is not None:
            raise UserError(
                f"The {split} rows of {language} have no row with the id {quoted(missing)} of"
                f" {languages[0]}, so they are no translations of the same texts; name languages"
                " that are, with --template-languages."
            )
        for pool, ids in enumerate(parts):
            pools[template, number, pool] = [rows[id] for id in ids]
    return pools


def discovery_sets(
    model: Model,
    tasks: dict[str, Task],
    pools: dict[tuple[int, int, int], list[Example]],
    languages: tuple[str, ...],
    checks: TemplateChecks,
) -> Iterator[tuple[Cell, list[Example]]]:
    """The discovery set of each cell."""
    named = list(tasks.items())
    for (template, language, pool), rows in pools.items():
        name, one = named[template]
        for seed in range(checks.seeds):
            with naming(f"Template {quoted(name)}, {languages[language]}"):
                drawn = discovery_set(model, one, rows, checks.size, seed)
            yield (template, language, pool, seed), drawn
