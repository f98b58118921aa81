"""A term of the glossary, and the sources that terms name."""

from dataclasses import dataclass

CDT, CTSFT, OWN = "CD-T, arXiv 2407.00886", "CT-SFT, arXiv 2601.08146", "this program's own"
EWC = "elastic weight consolidation, Kirkpatrick et al. 2017, arXiv 1612.00796, section 2"
MIB = "MIB, Mueller et al. 2025, arXiv 2504.13151"


@dataclass(frozen=True)
class Term:
    title: str
    text: str
