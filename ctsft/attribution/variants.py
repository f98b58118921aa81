"""The variants of scoring that are compared with each other: a method with some of its settings."""

from dataclasses import dataclass, field

from ctsft.attribution.method_names import NAMES


@dataclass(frozen=True)
class MethodVariant:
    """A scoring method with some settings of `ScoreConfig` that differ from their defaults."""

    label: str
    method: str  # a name of NAMES
    settings: dict = field(default_factory=dict)
    on_request: bool = False  # validated only where it is named


VARIANTS: dict[str, MethodVariant] = {
    "cdt": MethodVariant(NAMES["cdt"].label, "cdt"),
    "cdt frozen": MethodVariant("CD-T, attention frozen", "cdt", {"attention": "frozen"}),
    "cdt symmetric": MethodVariant("CD-T, cross terms shared", "cdt", {"rules": "symmetric"}),
    "cdt magnitude": MethodVariant("CD-T, size only", "cdt", {"score": "magnitude"}),
    "atp": MethodVariant(NAMES["atp"].label, "atp"),
    "ig": MethodVariant(NAMES["ig"].label, "ig"),
    "ig 9 steps": MethodVariant("Integrated gradients, nine passes", "ig", {"steps": 9}),
    "ablation": MethodVariant(NAMES["ablation"].label, "ablation"),
    "learned": MethodVariant(NAMES["learned"].label, "learned", on_request=True),
    "learned strength": MethodVariant(
        "Learned gates, for strength", "learned", {"objective": "strength"}, on_request=True
    ),
}
# the variants that are validated where none is named
DEFAULT_VARIANTS = tuple(name for name, one in VARIANTS.items() if not one.on_request)
