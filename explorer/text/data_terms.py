"""Terms of models and data."""

from explorer.text.term import CTSFT, OWN, Term

MODEL_AND_DATA: dict[str, Term] = {
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
}
