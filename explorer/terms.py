"""What the words on the pages mean, with the place they come from: shown when one points at the question mark beside them."""
CDT, CTSFT = "CD-T, arXiv 2407.00886", "CT-SFT, arXiv 2601.08146"
EWC = "elastic weight consolidation, Kirkpatrick et al. 2017, arXiv 1612.00796, section 2"
TERMS = {
    "relevance": f"How many logits a head's departure from its mean adds to the right label's lead over the mean of the others ({CDT}; {CTSFT}).",
    "discovery set": f"Examples that the model answers correctly, equally many of each label ({CTSFT}, section 3).",
    "mean": f"The label-balanced mean: a head's output averaged over tokens, then examples, then labels, so that it says nothing about the label "
            f"({CTSFT}, section 3).",
    "readout": "The token the answer is read at: the last one of the prompt, or an encoder's first.",
    "pattern": "Softmax weights of one head: each row says how much a token's query looks at each earlier token; rows sum to 1.",
    "direct effect": "The head's output at the readout, through its slice of the output projection and the unembedding, with the final norm's scale "
                     "as it is in the whole pass (direct logit attribution, Elhage et al. 2021). What later layers make of it is left out.",
    "spearman": "Rank correlation of two lists of scores: 1 is the same order of heads, 0 no relation, −1 the opposite order.",
    "advice": "Near the checkpoint a step d changes the target's loss by g · d, with g its gradient, and the source's by about d F d / 2, with F its "
              "Fisher information. Of all steps that cost the source the same, the best one wins the target in proportion to the root of "
              "Σ g² / (F + damping), over the numbers that would move with the head: that ranks the heads. Key/value rows that a group shares "
              f"count once. F as in {EWC}.",
    "asks": "The norm of the gradient of the target's loss with respect to the numbers that would move with the head: its query rows, its group's "
            "key and value rows, its columns of the output projection.",
    "costs": "Diagonal empirical Fisher information: the mean over source examples of the squared gradient of each one's loss, summed over the "
             f"numbers that would move with the head ({EWC}). Shown as its root, which has the unit of a gradient norm.",
    "confusion": "Rows by right label, columns by the model's answer; the diagonal is right.",
}
POSITIONS = {
    "cdt": "CD-T with the head split into its mean and the rest at this token only, and followed to the logits. The parts need not add up to the "
           "head's score, because later attention and gates see several tokens at once.",
    "atp": "(z − mean) · gradient at this token. The parts add up to the head's score on this example.",
    "ig": "(z − mean) · the gradient averaged between mean and z, this head alone moving. The parts add up to nearly the head's score, in which "
          "other heads moved along.",
    "ablation": "The drop of the right label's lead when the head is replaced by its mean at this token only. The parts need not add up to the "
                "head's score, because later layers see several tokens at once.",
}
