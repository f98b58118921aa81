"""The terms of the pages, each with its source: the one text for the help beside a question mark
and for docs/glossary.md, which `python -m explorer.text.glossary > docs/glossary.md` writes.

A section of a paper is named where it is known for certain; otherwise the paper alone. "This
program's own": no paper has it.
"""

from dataclasses import dataclass

from ctsft.attribution.methods import METHODS

CDT, CTSFT, OWN = "CD-T, arXiv 2407.00886", "CT-SFT, arXiv 2601.08146", "this program's own"
EWC = "elastic weight consolidation, Kirkpatrick et al. 2017, arXiv 1612.00796, section 2"
MIB = "MIB, Mueller et al. 2025, arXiv 2504.13151"


@dataclass(frozen=True)
class Term:
    title: str
    text: str


SECTIONS: dict[str, dict[str, Term]] = {
    "Model and data": {
        "source": Term(
            "Source language",
            "The language that the model knows: heads are scored on it, and its accuracy should not"
            f" fall ({CTSFT}).",
        ),
        "target": Term("Target language", f"The language that fine-tuning is for ({CTSFT})."),
        "related": Term(
            "Related languages",
            "Languages whose accuracy is measured beside source and target, without tuning on them"
            f" ({OWN} addition).",
        ),
        "related task": Term(
            "Related task",
            "A further task whose accuracy is measured before, while and after the model is tuned:"
            " the path of a task file on each line, with :LANGUAGE where it is not the task's"
            f" source language. CT-SFT claims that related tasks are preserved ({CTSFT}).",
        ),
        "perplexity": Term(
            "Perplexity",
            "How well the model predicts texts: e to the mean loss over all their tokens, without"
            " special tokens; lower is better, 1 is perfect. It stands for the model's general"
            f" ability ({OWN} use of it).",
        ),
        "accuracy": Term(
            "Accuracy",
            "Share of rows whose correct label gets the highest logit of all labels"
            f" ({CTSFT}); ± is its standard error.",
        ),
        "competence": Term(
            "Competence tuning",
            "Tuning of the whole model on the source language, done first, so that there is a"
            f" circuit to find ({CTSFT}).",
        ),
        "tokens": Term(
            "Tokens",
            "The pieces into which the model's tokenizer cuts a text. Prompt and labels as in"
            f" {CTSFT}: a label is one token.",
        ),
        "readout": Term(
            "Readout",
            "The token at which the answer is read: the last one of the prompt, or the first one of"
            f" an encoder ({CTSFT}).",
        ),
        "confusion": Term(
            "Confusion matrix",
            "Rows by correct label, columns by the model's answer; correct answers are on the"
            f" diagonal ({OWN} view).",
        ),
        "data": Term(
            "Data preview",
            "The rows of the chosen split: counts of each label, tokens of each prompt, and a few"
            f" texts ({OWN} view).",
        ),
        "seed": Term(
            "Seed",
            "A number that fixes every random draw: the same seed gives the same draw. Another seed"
            f" shows how much depends on it ({CTSFT}: four seeds).",
        ),
    },
    "Scores": {
        "relevance": Term(
            "Relevance",
            "A head's score: how many logits its deviation from its mean adds to the correct"
            f" label's logit minus the mean of the others' ({CDT}; {CTSFT}).",
        ),
        "method": Term(
            "Scoring methods", " ".join(method.description for method in METHODS.values())
        ),
        "patterns": Term(
            "Attention patterns in CD-T",
            "Decomposed: CD-T also follows a head's effect on later attention patterns. Frozen: it"
            f" follows only what these patterns carry forward ({CDT}; the second is {OWN}).",
        ),
        "cross terms": Term(
            "Cross terms",
            "What a nonlinear step computes only from a head and the rest together. The paper's"
            f" rules give it to the head ({CDT}); to share it evenly (Shapley values, no sign"
            f" clash) is {OWN} rule. Scores of different rules are never shown in one map.",
        ),
        "positions": Term(
            "Positions",
            "The tokens at which a head's output is compared with its mean; the means are taken at"
            f" the same tokens. The papers do not define them: {OWN} choice.",
        ),
        "discovery set": Term(
            "Discovery set",
            "Examples that the model answers correctly, equally many of each label; 50 in the paper"
            f" ({CTSFT}).",
        ),
        "mean": Term(
            "Label-balanced mean",
            "A head's output averaged over tokens, then over examples, then over labels, so that it"
            f" carries no information about the label ({CTSFT}).",
        ),
        "panels": Term(
            "All heads",
            "By label: mean score on the examples of each label. Means: the average output of each"
            " head. Distribution: how many heads have which score. One example: the scores on a"
            f" single text. Roles: which heads the task needs, and which disturb it. Scores as in"
            f" {CTSFT}; the views are {OWN}.",
        ),
        "roles": Term(
            "Role of a head",
            "Gates between a head's own output and its mean are learned twice, once against a"
            " penalty that closes them and once against one that opens them. Facilitating: stays"
            " open, the task needs the head. Interfering: closes, the task is better without it."
            " Irrelevant: follows the penalty (Causal Head Gating, arXiv 2505.13737; here with"
            f" means in place of zeros and faithfulness as the loss, {OWN}).",
        ),
        "spearman": Term(
            "Spearman's rank correlation",
            "Of two lists of scores: 1 is the same order of heads, 0 is no relation, −1 is the"
            " opposite order (Spearman 1904).",
        ),
        "against": Term(
            "Comparisons of scores",
            "With other scoring methods, other languages or other checkpoints, and a check against"
            f" the effect of removing heads: {OWN} comparisons.",
        ),
        "source token": Term(
            "Source token",
            "The head's direct effect on the correct label's logit minus the others' mean, split by"
            " the token that it reads: attention from the readout times value, through the output"
            " projection, with every norm at its scale in the full pass (direct logit attribution,"
            " Elhage et al. 2021, A Mathematical Framework for Transformer Circuits).",
        ),
        "agreement with removal": Term(
            "Agreement with removal",
            "Spearman's rank correlation between the scores of all heads and what removing each"
            " head changes (mean ablation, or an estimate of it: integrated gradients, attribution"
            " patching). Hatched are the heads on which the two disagree most: opposite clear"
            f" signs, or ranks a quarter of all heads apart, at most a tenth of the heads ({OWN}"
            " measure).",
        ),
        "colours by layer": Term(
            "Each layer by itself",
            "Divides each score by the largest absolute score of its layer, for the colours only:"
            f" scores of early layers are often larger and hide the others ({OWN} display).",
        ),
        "cpr": Term(
            "CPR (circuit performance ratio)",
            "Area under a ranking's faithfulness by margin over circuit size (share of heads, 0 to"
            " 1): what its first heads do, over all sizes. Higher is better; above 1: circuits that"
            f" do more than the model ({MIB}; here with heads and mean ablation).",
        ),
        "cmd": Term(
            "CMD (circuit-model distance)",
            "Area under the distance of a ranking's faithfulness from 1 over circuit size: how far"
            " its circuits are from doing what the model does. Lower is better, 0 is best"
            f" ({MIB}; here with heads and mean ablation).",
        ),
        "template shares": Term(
            "What a head map depends on",
            "Maps in standard units for each template (prompt and label words), language (the same"
            " texts, translated), pool of texts and seed; shares of their variance by random"
            " effects, unbiased, so that pure noise has 0 on average. Same in all maps: what is of"
            " the task. Overlap of first heads is shown minus that of random sets"
            f" ({OWN} measure; intervals over heads, or over pairs of levels).",
        ),
        "importances": Term(
            "importances.json",
            "The scores of heads as the circuit track of MIB reads them, at its node level:"
            " heads by name (a0.h1 is layer 0, head 1); input and MLPs have no score, so they stay"
            f" in every circuit, as they do here ({MIB}).",
        ),
        "stability": Term(
            "Stability",
            "Mean Jaccard index of the top heads over pairs of discovery sets; 1 means that the"
            f" examples make no difference. The paper reports the top head alone ({CTSFT}).",
        ),
    },
    "One head on one text": {
        "one head": Term(
            "Views of a head",
            "By token: where the score comes from. Attention pattern: which tokens the head reads."
            " Direct effect: what it writes. Top heads: the first heads of the ranking at each"
            f" token. The views are {OWN}; each names its source.",
        ),
        "pattern": Term(
            "Attention pattern",
            "Softmax weights of one head. Each row shows how much a token's query attends to each"
            " earlier token; rows sum to 1 (Vaswani et al. 2017, arXiv 1706.03762, equation 1).",
        ),
        "direct effect": Term(
            "Direct effect",
            "The head's output at the readout, through its slice of the output projection and the"
            " unembedding, with the scale of the final norm in the full pass (direct logit"
            " attribution, Elhage et al. 2021). The effect through later layers is left out.",
        ),
    },
    "Circuit": {
        "circuit": Term(
            "Circuit",
            "A set of attention heads that carries the task; fine-tuning trains these heads and the"
            f" norms ({CTSFT}).",
        ),
        "rule": Term(
            "Selection rule",
            "It selects the heads by their scores. Near zero, least relevant and random are"
            f" controls of the same size, to compare a circuit with ({CTSFT}).",
        ),
        "top": Term(
            "Top k", f"The k heads with the highest signed scores, as in the paper ({CTSFT})."
        ),
        "threshold": Term(
            "Threshold",
            "Every head with at least this score is selected. A link stores its place between the"
            f" lowest score (0) and the highest (1) ({OWN} scale, as the scores of models differ in"
            " size).",
        ),
        "fraction": Term(
            "Share",
            "A share of all heads, at least one head; the paper takes 2 % in each iteration"
            f" ({CTSFT}).",
        ),
        "near_zero": Term(
            "Near zero",
            f"A control: the heads whose scores are closest to 0, of either sign ({CTSFT}).",
        ),
        "least": Term(
            "Least relevant",
            "A control: the heads with the lowest scores, which may act against the correct label"
            f" ({CTSFT}).",
        ),
        "random": Term("Random", f"A control: heads drawn at random with a seed ({CTSFT})."),
        "advised": Term(
            "Advised",
            "The heads that give the target the largest gain for the source's loss:"
            f" {OWN} rule, after {EWC}.",
        ),
        "all": Term(
            "All", f"Every head: the attention of the whole model, one end of the scale ({OWN})."
        ),
        "none": Term("None", f"No head: a start for a circuit built by hand ({OWN})."),
        "discover": Term(
            "Discovered",
            "Iteration 0 selects the heads that act on the logits; each further iteration selects"
            f" heads that act on the heads selected before ({CTSFT}; {CDT}).",
        ),
        "depth": Term(
            "Discovery depth",
            "The number of iterations after the first. 0 selects only the heads that act on the"
            f" logits; the paper uses 0, 1 and 2 ({CTSFT}).",
        ),
        "edge": Term(
            "Edge",
            "The relevance of a head for the target it was selected for: the logits, or a later"
            f" head ({CDT}). To leave out weak ones is {OWN} choice.",
        ),
        "kv": Term(
            "Key/value group",
            "Heads that share key and value rows, so that training one changes its whole group"
            " (grouped-query attention, Ainslie et al. 2023, arXiv 2305.13245).",
        ),
        "kv choice": Term(
            "Shared keys and values",
            "By group: the shared rows are trained if any head of the group is. One a head: the"
            " model is first rewritten as an equal one in which each head has its own rows, and"
            f" only the circuit's rows are trained (the paper's counting, {CTSFT}).",
        ),
        "trainable": Term(
            "Trainable parameters",
            "Parameters that will be trained: the heads' query, key, value and output weights, and"
            f" every norm; all others stay bit-identical ({CTSFT}).",
        ),
        "jaccard": Term(
            "Jaccard index",
            "Heads in both circuits, as a share of the heads in either; 1 is the same circuit"
            " (Jaccard 1912). The value by chance is exact (hypergeometric): the mean over all"
            " pairs of circuits of these sizes.",
        ),
    },
    "Faithfulness": {
        "faithfulness": Term(
            "Faithfulness",
            "(m(circuit) − m(no head)) / (m(full) − m(no head)), with every head outside the"
            " circuit replaced by its mean; m is accuracy or margin. 1 is the full model, 0 is the"
            f" model without any head ({OWN} measure, after {CDT}, which compares with random"
            " circuits).",
        ),
        "predicted": Term(
            "Predicted faithfulness",
            "A Gaussian process over sets of heads, fitted once to 300 measured circuits, predicts"
            " the labels' logits of every row for any other circuit. The interval holds the"
            " measured value nine times in ten for circuits near a ranking (conformal prediction,"
            f" Lei et al. 2018, arXiv 1604.04173). The surrogate is {OWN}.",
        ),
        "measure": Term(
            "Accuracy or margin",
            "Accuracy: share of rows answered correctly. Margin: the correct label's logit minus"
            f" the mean of the others', which is finer ({OWN}).",
        ),
    },
    "Fine-tuning": {
        "recipes": Term(
            "Ways of tuning",
            "Circuit: the query, key, value and output slices of its heads and every norm; all"
            " other parameters stay bit-identical. The paper reports the better of circuit and"
            f" near-zero heads, so run both ({CTSFT}). Controls have as many heads. LoRA: low-rank"
            f" adapters beside the weights (Hu et al. 2021, arXiv 2106.09685). SSU freezes the half"
            " of each matrix's columns with the largest |weight| times input norm on source rows"
            " (Yamaguchi et al. 2025, arXiv 2512.04844). FGGM trains only the rows with the most"
            " Fisher information on the target rows (Tan et al. 2026, arXiv 2601.18261). Advised"
            f" heads are {OWN}.",
        ),
        "n": Term(
            "Labelled rows",
            "Rows of the target language to tune on; equally many of each label, drawn with the"
            f" seed. The paper: 25 to 100 ({CTSFT}).",
        ),
        "curves": Term(
            "Curves",
            "Accuracy on each language during tuning; the loss is the cross-entropy of the label"
            f" token at the readout ({CTSFT}).",
        ),
        "target change": Term(
            "Gain on the target",
            f"Target accuracy after tuning minus before ({CTSFT} reports both accuracies).",
        ),
        "source change": Term(
            "Change on the source",
            "Source accuracy after tuning minus before: below 0 is forgetting"
            f" ({CTSFT} reports both accuracies).",
        ),
        "mcnemar": Term(
            "Exact McNemar test",
            "Of the texts that only one of two models has right, as many should go either way by"
            " chance; p is how rarely it would be this uneven (McNemar 1947). Several p that are"
            " shown together are adjusted (Holm 1979).",
        ),
        "interval": Term(
            "95 % interval",
            "Student's t over seeds, or over languages where there are three: fewer than three"
            " values have none. Verdicts of one table are adjusted together (Holm 1979).",
        ),
        "frontier": Term(
            "Frontier",
            "The line through the runs that no other run exceeds on both source and target"
            f" (Pareto frontier; {OWN} figure).",
        ),
        "experiment": Term(
            "Experiment",
            "Ways of tuning × targets × labelled rows × seeds, in the layout of the paper's results"
            f" ({CTSFT}).",
        ),
        "change": Term(
            "Change by head",
            f"Norm of the difference of a head's weights after and before tuning ({OWN}).",
        ),
        "hold": Term(
            "Hold the source",
            "After each step, every trained parameter is pulled back to its value before tuning,"
            " more strongly where the source needs it: by its Fisher information on source rows"
            f" ({EWC}; as a step behind the optimiser's it is {OWN}). Weak, usual and strong are"
            " the strengths .9, 9 and 90.",
        ),
        "share": Term(
            "Share of the change",
            "w0 + share × (w1 − w0), between the weights before and after tuning. A part of the"
            " change often keeps more of the source and loses little of the target (WiSE-FT,"
            " Wortsman et al. 2022, arXiv 2109.01903).",
        ),
        "undo": Term(
            "Undo single heads",
            "A head gets its weights from before tuning back, without training again. The cheapest"
            " damage: heads ordered by what the source regains for what the target loses, from"
            " gradients of both losses and then measured, undone one by one on validation rows"
            f" ({OWN} method).",
        ),
        "outside": Term(
            "Outside of what was trained",
            "The checkpoint is loaded again after the run, and every parameter outside of what was"
            f" trained is compared with it, bit by bit ({OWN} check).",
        ),
        "rescoring": Term(
            "Scores after tuning",
            "Scores of the same heads on the same examples after tuning: whether the circuit is"
            f" still the same ({OWN} question).",
        ),
    },
    "Receipts": {
        "receipt": Term(
            "Receipt",
            "Where figures come from: the command that repeats their run, the run, its rows"
            " (number, split, hash), seed, the fingerprint of the model's weights, and the"
            " interval, or why there is none. ctsft verify computes figures again from the run's"
            f" files ({OWN} addition).",
        ),
    },
    "Advice on heads": {
        "advice": Term(
            "Advice",
            "Near the checkpoint a small change d of the weights changes the target's loss by g ·"
            " d, with g its gradient, and the source's by about d F d / 2, with F its Fisher"
            " information. Of all changes with the same source loss, the best one reduces the"
            " target's loss in proportion to the root of Σ g² / (F + damping), over the weights"
            " that are trained with the head: that ranks the heads. Key/value rows that a group"
            f" shares count once. F as in {EWC}; the ranking is {OWN}.",
        ),
        "target gradient": Term(
            "Target gradient",
            "The norm of the gradient of the target's loss with respect to the weights that are"
            " trained with the head: its query rows, its group's key and value rows, its columns of"
            f" the output projection ({OWN}).",
        ),
        "source loss": Term(
            "Source loss",
            "Diagonal empirical Fisher information: the mean over source examples of the squared"
            " gradient of each one's loss, summed over the weights that are trained with the head"
            f" ({EWC}). Shown as its root, which has the unit of a gradient norm.",
        ),
    },
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
