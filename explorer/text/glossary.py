"""What the words on the pages mean, with the place they come from: shown when one points at the
question mark beside them.

A section is named where it is known for certain; otherwise the paper alone. "This program's own":
no paper has it.
"""

from ctsft.attribution.methods import METHODS

CDT, CTSFT, OWN = "CD-T, arXiv 2407.00886", "CT-SFT, arXiv 2601.08146", "this program's own"
EWC = "elastic weight consolidation, Kirkpatrick et al. 2017, arXiv 1612.00796, section 2"
TERMS = {
    "relevance": (
        "Relevance, or a head's score: how many logits its departure from its mean adds to the"
        f" right label's lead over the mean of the others ({CDT}; {CTSFT})."
    ),
    "method": " ".join(method.description for method in METHODS.values()),
    "patterns": (
        "Decomposed: CD-T follows a head's effect on later attention patterns too. Kept as it is:"
        f" only on what those patterns move ({CDT}; the second is {OWN})."
    ),
    "cross terms": (
        "What a nonlinear step does only jointly with the rest. The paper's rules give it to the"
        f" head ({CDT}); shared evenly (Shapley values, no sign clash) is {OWN}. Scores of"
        " different rules are never shown in one map."
    ),
    "positions": (
        "Where a head's output is compared with its mean; the means are taken at the same places."
        f" The papers are silent: {OWN} choice."
    ),
    "discovery set": (
        "Examples that the model answers correctly, equally many of each label; 50 in the paper"
        f" ({CTSFT})."
    ),
    "seed": (
        "A number that fixes what is drawn by chance: the same seed draws the same. Another shows"
        f" how much hangs on it ({CTSFT}: four seeds)."
    ),
    "mean": (
        "The label-balanced mean: a head's output averaged over tokens, then examples, then"
        f" labels, so that it says nothing about the label ({CTSFT})."
    ),
    "readout": (
        "The token the answer is read at: the last one of the prompt, or an encoder's first"
        f" ({CTSFT})."
    ),
    "pattern": (
        "Attention pattern: softmax weights of one head. Each row says how much a token's query"
        " looks at each earlier token; rows sum to 1 (Vaswani et al. 2017, arXiv 1706.03762,"
        " equation 1)."
    ),
    "direct effect": (
        "The head's output at the readout, through its slice of the output projection and the"
        " unembedding, with the final norm's scale as it is in the whole pass (direct logit"
        " attribution, Elhage et al. 2021). What later layers make of it is left out."
    ),
    "one head": (
        "By token: where the score arises. Attention pattern: where the head looks. Direct effect:"
        f" what it writes. The views are {OWN}; each names its source."
    ),
    "panels": (
        "By label: mean score on each label's examples. Means: what each head gives on average."
        " Distribution: how many heads have which score. One example: scores on a single text."
        f" Scores as in {CTSFT}; the views are {OWN}."
    ),
    "spearman": (
        "Rank correlation of two lists of scores: 1 is the same order of heads, 0 no relation, −1"
        " the opposite order (Spearman 1904)."
    ),
    "against": (
        "Other ways of scoring, other languages or checkpoints, and a check against what removing"
        f" heads does: {OWN} comparisons."
    ),
    "stability": (
        "Mean Jaccard index of the top heads over pairs of discovery sets; 1 means that the"
        f" examples do not matter. The paper reports the top head alone ({CTSFT})."
    ),
    "circuit": (
        "A set of attention heads that carries the task; fine-tuning moves these heads and the"
        f" norms ({CTSFT})."
    ),
    "rule": (
        "What chooses the heads, by their scores. Near zero, least relevant and random are"
        f" controls of the same size that a circuit should be compared with ({CTSFT})."
    ),
    "top": f"The paper keeps the heads with the highest signed scores ({CTSFT}); k is how many.",
    "threshold": (
        f"0 is the lowest score, 1 the highest; every head at or above is kept ({OWN} scale, as"
        " models differ in theirs)."
    ),
    "fraction": (
        f"Share of all heads, at least one; the paper keeps 2 % in each iteration ({CTSFT})."
    ),
    "near_zero": f"A control: the heads whose scores lie closest to 0, of either sign ({CTSFT}).",
    "least": (
        "A control: the heads with the lowest scores, which may speak against the right label"
        f" ({CTSFT})."
    ),
    "random": f"A control: heads drawn by chance with a seed ({CTSFT}).",
    "advised": (
        f"The heads that win the target most for what the source would lose: {OWN} rule, after"
        f" {EWC}."
    ),
    "all": f"Every head: the whole model's attention, as an end of the scale ({OWN}).",
    "none": f"No head: a start for choosing by hand ({OWN}).",
    "discover": (
        "Iteration 0 keeps the heads that act on the logits, each further one those that act on"
        f" the heads kept before ({CTSFT}; {CDT})."
    ),
    "depth": (
        "Discovery depth: iterations behind the first. 0 takes only the heads that act on the"
        f" logits; the paper takes 0, 1 and 2 ({CTSFT})."
    ),
    "edge": (
        "Relevance of a head for the target it was chosen for: the logits, or a later head"
        f" ({CDT}). Cutting weak ones off is {OWN}."
    ),
    "kv": (
        "Key/value group: heads that share key and value rows, so that tuning one moves its group's"
        " (grouped-query attention, Ainslie et al. 2023, arXiv 2305.13245)."
    ),
    "kv choice": (
        "Heads of a group share keys and values. By group: the shared rows move with any head of"
        " it. One a head: the model is first made into an equal one in which each head owns its"
        f" rows, and only the circuit's move (the paper's counting, {CTSFT})."
    ),
    "moves": (
        "Parameters that would move: the heads' query, key, value and output numbers and every"
        f" norm's; all others stay bit-identical ({CTSFT})."
    ),
    "faithfulness": (
        "(m(circuit) − m(no head)) / (m(full) − m(no head)), heads outside replaced by their"
        f" means; m is accuracy or margin. 1 keeps all of the full model, 0 none ({OWN} measure,"
        f" after {CDT}, which compares with random circuits)."
    ),
    "measure": (
        "Accuracy: share of rows answered rightly. Margin: logits by which the right label leads"
        f" the others' mean, which is finer ({OWN})."
    ),
    "jaccard": (
        "Jaccard index: heads that both hold, as a share of those that either holds; 1 is the same"
        " circuit (Jaccard 1912). Chance is exact (hypergeometric): the mean over all pairs of"
        " circuits of these sizes."
    ),
    "accuracy": (
        f"Share of rows whose right label gets the highest logit among the labels ({CTSFT}); ± is"
        " its standard error."
    ),
    "competence": (
        f"Full tuning on the source language first, so that there is a circuit to find ({CTSFT})."
    ),
    "source": (
        "The language that the model knows: heads are found here, and its accuracy is to be kept"
        f" ({CTSFT})."
    ),
    "target": f"The language that fine-tuning is for ({CTSFT}).",
    "related": (
        f"Languages that are measured beside source and target and not tuned on ({OWN} addition)."
    ),
    "recipes": (
        "Circuit: its heads' query, key, value and output slices and every norm; all else stays"
        " bit-identical. The paper reports the better of circuit and near-zero heads, so run both"
        f" ({CTSFT}). Controls take as many heads. LoRA: low-rank adapters beside the weights (Hu"
        f" et al. 2021, arXiv 2106.09685). Advised heads are {OWN}."
    ),
    "n": (
        "Labelled rows of the target language to tune on; equal numbers a label, drawn with the"
        f" seed. The paper: 25 to 100 ({CTSFT})."
    ),
    "noise": (
        "Noise: two standard errors of the difference of two accuracies, as if measured on rows of"
        f" their own ({OWN}, cautious)."
    ),
    "gained": f"Target accuracy after tuning minus before ({CTSFT} reports both accuracies).",
    "kept": (
        "Source accuracy after tuning minus before: 0 keeps everything, below 0 is forgetting"
        f" ({CTSFT} reports both accuracies)."
    ),
    "frontier": (
        "The line joins the runs that no other one beats at both target gained and source kept"
        f" (Pareto frontier; {OWN} figure)."
    ),
    "interval": (
        "95 % bootstrap interval: where the mean falls when seeds are drawn again with repetition"
        " (Efron 1979). Few seeds give a rough one."
    ),
    "curves": (
        "Accuracy on each language while tuning; loss is the cross-entropy of the label token at"
        f" the readout ({CTSFT})."
    ),
    "change": f"Norm of the difference of a head's numbers after and before tuning ({OWN}).",
    "moved": (
        "Scores of the same heads on the same examples after tuning: whether the circuit is still"
        f" the same one ({OWN} question)."
    ),
    "experiment": (
        "Ways of tuning × targets × labelled examples × seeds, in the layout of the paper's"
        f" results ({CTSFT})."
    ),
    "advice": (
        "Near the checkpoint a step d changes the target's loss by g · d, with g its gradient, and"
        " the source's by about d F d / 2, with F its Fisher information. Of all steps that cost"
        " the source the same, the best one wins the target in proportion to the root of Σ g² / (F"
        " + damping), over the numbers that would move with the head: that ranks the heads."
        f" Key/value rows that a group shares count once. F as in {EWC}; the ranking is {OWN}."
    ),
    "asks": (
        "The norm of the gradient of the target's loss with respect to the numbers that would move"
        " with the head: its query rows, its group's key and value rows, its columns of the output"
        f" projection ({OWN})."
    ),
    "costs": (
        "Diagonal empirical Fisher information: the mean over source examples of the squared"
        " gradient of each one's loss, summed over the numbers that would move with the head"
        f" ({EWC}). Shown as its root, which has the unit of a gradient norm."
    ),
    "confusion": (
        f"Rows by right label, columns by the model's answer; the diagonal is right ({OWN} view)."
    ),
    "tokens": (
        f"The pieces that the model's tokenizer cuts a text into. Prompt and labels as in {CTSFT}:"
        " a label is one token."
    ),
    "data": (
        "Rows of the chosen split: counts of each label, tokens of each prompt, and a few texts"
        f" ({OWN} view)."
    ),
}
POSITIONS = {
    "cdt": (
        "CD-T with the head split into its mean and the rest at this token only, and followed to"
        " the logits. The parts need not add up to the head's score, because later attention and"
        " gates see several tokens at once."
    ),
    "atp": (
        "(z − mean) · gradient at this token. The parts add up to the head's score on this example."
    ),
    "ig": (
        "(z − mean) · the gradient averaged between mean and z, this head alone moving. The parts"
        " add up to nearly the head's score, in which other heads moved along."
    ),
    "ablation": (
        "The drop of the right label's lead when the head is replaced by its mean at this token"
        " only. The parts need not add up to the head's score, because later layers see several"
        " tokens at once."
    ),
}
