"""Terms of circuits and of their faithfulness."""

from explorer.text.term import CDT, CTSFT, EWC, OWN, Term

CIRCUIT: dict[str, Term] = {
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
    "top": Term("Top k", f"The k heads with the highest signed scores, as in the paper ({CTSFT})."),
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
}

FAITHFULNESS: dict[str, Term] = {
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
}
