"""Where a prompt ends in tokens: what a tokenizer appends, and how many positions a model has.

The readout of a model that answers with label tokens is the last token of the prompt (CT-SFT, arXiv
2601.08146, section 3), so nothing may stand behind the prompt's own text.
"""

from weakref import WeakKeyDictionary

from ctsft.utils.errors import UserError

PROBE = "a"
APPENDED = WeakKeyDictionary()  # {tokenizer: `behind_text`}


def appended_tokens(model) -> list[int]:
    """The ids that the tokenizer puts behind every text, such as an end-of-text token; [] for a
    model with classes, which was trained with them.
    """
    if getattr(model, "classes", None):
        return []
    # a tokenizer takes longer for two short texts than for a prompt: asked once
    if model.tokenizer not in APPENDED:
        APPENDED[model.tokenizer] = behind_text(model.tokenizer)
    return APPENDED[model.tokenizer]


def behind_text(tokenizer) -> list[int]:
    whole, _, end = around_probe(tokenizer)
    return whole[end:]


def leading_tokens(tokenizer) -> list[int]:
    """The ids that the tokenizer puts before every text, such as a beginning-of-text token."""
    whole, start, _ = around_probe(tokenizer)
    return whole[:start]


def around_probe(tokenizer) -> tuple[list[int], int, int]:
    """The ids of a short text with special tokens, and where the text itself starts and ends."""
    plain = tokenizer(PROBE, add_special_tokens=False)["input_ids"]
    whole = tokenizer(PROBE)["input_ids"]
    starts = [
        start
        for start in range(len(whole) - len(plain) + 1)
        if whole[start : start + len(plain)] == plain
    ]
    if not plain or not starts:
        return whole, 0, len(whole)
    return whole, starts[-1], starts[-1] + len(plain)


def longest_prompt(model, max_length: int) -> int:
    """How many tokens a prompt may have: `max_length`, or the model's positions where these are
    fewer.
    """
    return min(max_length, getattr(model, "max_positions", None) or max_length)


def check_embedded(model, ids: list[int], what: str):
    """UserError for a token id that the model has no embedding for. what: begins its sentence, as
    in "The label 'good'".
    """
    vocabulary = getattr(model, "vocabulary", None)
    if vocabulary is None or max(ids, default=0) < vocabulary:
        return
    token = max(ids)
    raise UserError(
        f"{what} becomes the token {token}"
        f" ({model.tokenizer.convert_ids_to_tokens([token])[0]!r}), and the model has embeddings"
        f" for {vocabulary} tokens only; use the tokenizer that belongs to the model."
    )


def prompt_notes(model, prompt: str, max_length: int) -> list[str]:
    """What a reader should know of a prompt as this model reads it: its end, and its length."""
    notes = []
    appended = appended_tokens(model)
    if appended:
        names = " ".join(model.tokenizer.convert_ids_to_tokens(appended))
        notes.append(
            f"The tokenizer appends {names} to every text. It is dropped, because the answer is"
            " read at the last token of the prompt."
        )
    if prompt.endswith((" ", "\t", "\u00a0")) and not getattr(model, "classes", None):
        notes.append(
            "The prompt ends in a space, and each label begins with one of its own, so the model"
            " reads two. Remove the space at the end of the prompt."
        )
    limit = longest_prompt(model, max_length)
    if limit < max_length:
        notes.append(
            f"The model has positions for {limit} tokens, so longer texts are cut to that instead"
            f" of {max_length}."
        )
    return notes
