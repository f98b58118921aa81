"""The settings of what is validated. Requests and pages read them without torch."""

from dataclasses import dataclass

from ctsft.attribution.variants import DEFAULT_VARIANTS, VARIANTS
from ctsft.data.templates import Template
from ctsft.utils.errors import UserError, quoted

REFERENCE = "ablation"  # a name of VARIANTS: what the others are compared with
MOST_MAPS = 2000


@dataclass(frozen=True)
class Checks:
    """What is validated, and on how much."""

    # names of VARIANTS; mean ablation is always among them
    methods: tuple[str, ...] = DEFAULT_VARIANTS
    size: int = 50  # texts of a discovery set
    # for the draw of the first discovery set and of the rows
    seed: int = 0
    rows: int = 100  # unseen rows at most; 0: all
    # random circuits of each size; 0: none
    n_random: int = 50
    # discovery sets for the stability, with the seeds 0, 1, 2 ...; 0: no stability
    pools: int = 10
    # variants whose stability is measured
    stable: tuple[str, ...] = ("cdt", "atp")

    def __post_init__(self):
        for name in (*self.methods, *self.stable):
            if name not in VARIANTS:
                raise UserError(
                    f"{name!r} is not a way to rank heads; choose from {', '.join(VARIANTS)}."
                )
        for name in ("rows", "n_random", "pools"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} is {getattr(self, name)}; choose 0 or more.")
        if self.pools == 1:
            raise UserError(
                "One pool has nothing to be compared with; choose pools=0 (none) or at least 2."
            )
        object.__setattr__(self, "methods", tuple(dict.fromkeys((REFERENCE, *self.methods))))


@dataclass(frozen=True)
class TemplateChecks:
    """Which templates are compared, and on how much; without templates nothing is."""

    templates: tuple[Template, ...] = ()
    languages: tuple[str, ...] = ()  # none: the source and the first two targets
    pools: int = 3
    seeds: int = 2  # discovery sets of each pool
    method: str = "cdt"  # a name of VARIANTS
    size: int = 30  # texts of a discovery set

    def __post_init__(self):
        for name, fewest in (("pools", 1), ("seeds", 1), ("size", 2)):
            value = getattr(self, name)
            if value < fewest:
                raise UserError(f"The {name} of templates are {value}; choose {fewest} or more.")
        if self.method not in VARIANTS:
            raise UserError(
                f"{quoted(self.method)} is not a way to rank heads; choose from"
                f" {', '.join(VARIANTS)}."
            )
        double = next((name for name in self.languages if self.languages.count(name) > 1), None)
        if double:
            raise UserError(f"The language {quoted(double)} is named twice; name each once.")
        if self.maps > MOST_MAPS:
            raise UserError(
                f"{self.maps} head maps would be computed, and at most {MOST_MAPS} can be; choose"
                " fewer templates, languages, pools or seeds."
            )

    @property
    def maps(self) -> int:
        """How many head maps are computed, with one language where none is named."""
        return len(self.templates) * max(1, len(self.languages)) * self.pools * self.seeds
