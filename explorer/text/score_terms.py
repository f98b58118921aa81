"""Terms of scores, of all heads and of one."""

from ctsft.attribution.method_names import NAMES
from explorer.text.term import CDT, CTSFT, MIB, OWN, Term

SCORES: dict[str, Term] = {
    "relevance": Term(
        "Relevance",
        "A head's score: how many logits its deviation from its mean adds to the correct"
        f" label's logit minus the mean of the others' ({CDT}; {CTSFT}).",
    ),
    "method": Term("Scoring methods", " ".join(method.description for method in NAMES.values())),
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
}

ONE_HEAD: dict[str, Term] = {
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
}
