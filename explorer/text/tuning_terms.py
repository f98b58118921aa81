"""Terms of fine-tuning, of advice on heads, and of receipts."""

from explorer.text.term import CTSFT, EWC, OWN, Term

FINE_TUNING: dict[str, Term] = {
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
}

RECEIPTS: dict[str, Term] = {
    "receipt": Term(
        "Receipt",
        "Where figures come from: the command that repeats their run, the run, its rows"
        " (number, split, hash), seed, the fingerprint of the model's weights, and the"
        " interval, or why there is none. ctsft verify computes figures again from the run's"
        f" files ({OWN} addition).",
    ),
}

ADVICE: dict[str, Term] = {
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
}
