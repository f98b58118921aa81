"""The terms of the pages, each with its source: the one text for the help beside a question mark
and for docs/glossary.md, which `python -m explorer.text.glossary > docs/glossary.md` writes.

A section of a paper is named where it is known for certain; otherwise the paper alone. "This
program's own": no paper has it.
"""

from explorer.text import circuit_terms, data_terms, score_terms, tuning_terms
from explorer.text.term import Term

SECTIONS: dict[str, dict[str, Term]] = {
    "Model and data": data_terms.MODEL_AND_DATA,
    "Scores": score_terms.SCORES,
    "One head on one text": score_terms.ONE_HEAD,
    "Circuit": circuit_terms.CIRCUIT,
    "Faithfulness": circuit_terms.FAITHFULNESS,
    "Fine-tuning": tuning_terms.FINE_TUNING,
    "Receipts": tuning_terms.RECEIPTS,
    "Advice on heads": tuning_terms.ADVICE,
}
# the help of a page: {key: text}
TERMS = {key: term.text for section in SECTIONS.values() for key, term in section.items()}

# by scoring method: how the score is split over tokens
POSITIONS = {
    "cdt": (
        "CD-T with the head split into its mean and the rest at this token only, followed to the"
        " logits. The parts need not sum to the head's score, because later attention and gates"
        " read several tokens at once."
    ),
    "atp": (
        "(z − mean) · gradient at this token. The parts sum to the head's score on this example."
    ),
    "ig": (
        "(z − mean) · the gradient averaged between mean and z, for this head alone. The parts sum"
        " to nearly the head's score, which is computed with several heads at once."
    ),
    "ablation": (
        "The drop of the correct label's margin when the head is replaced by its mean at this token"
        " only. The parts need not sum to the head's score, because later layers read several"
        " tokens at once."
    ),
}

INTRODUCTION = """# Glossary

The terms of the explorer, in the words of its help texts. Each names its source; "this program's
own" means that no paper has it.

- CD-T: *Efficient Automated Circuit Discovery in Transformers using Contextual Decomposition*,
  [arXiv 2407.00886](https://arxiv.org/abs/2407.00886)
- CT-SFT: *Faithful Circuits for Controlled Low-Resource Adaptation*,
  [arXiv 2601.08146](https://arxiv.org/abs/2601.08146)
"""


def glossary_page() -> str:
    """docs/glossary.md: the terms by section, in alphabetical order."""
    lines = [INTRODUCTION]
    for heading, terms in SECTIONS.items():
        lines.append(f"## {heading}\n")
        for term in sorted(terms.values(), key=lambda term: term.title.lower()):
            lines.append(f"### {term.title}\n\n{term.text}\n")
    return "\n".join(lines)


if __name__ == "__main__":
    print(glossary_page(), end="")
