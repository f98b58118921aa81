"""Perplexity: how well a language model predicts texts, as a measure of general ability.

e to the mean negative log-likelihood over all predicted tokens of all texts, so that long texts
count by their tokens. A text is cut into windows of at most `CONTEXT` tokens,
or the model's positions where these are fewer; each window is read for itself, behind the special
tokens that the tokenizer puts before a text. Special tokens are context only: none is predicted or
counted. Without one, the first token of a window has no context and is not counted.
"""

import math

import torch
from torch.nn import functional as F

from ctsft.data.prompt_tokens import check_embedded, leading_tokens
from ctsft.model.batching import Batch, batches
from ctsft.model.evaluation import NotFiniteLogits
from ctsft.model.loading import as_model
from ctsft.utils.errors import UserError

CONTEXT = 512  # tokens of a window, special tokens included
LOGIT_BYTES = 2**27  # of a batch's logits, float32
LARGEST = 700.0  # of the mean: e to this power is still a number


@torch.no_grad()
def perplexity(model, texts: list[str], context: int = CONTEXT) -> dict:
    """{"perplexity": above 1, "tokens": predicted ones, "texts": their number}.

    UserError for a model that predicts no next token, or texts without a token to predict;
    NotFiniteLogits where one is NaN or infinite.
    """
    model = as_model(model)
    check_predicts_text(model)
    special = leading_tokens(model.tokenizer)
    encoded = windows(model, texts, special, min(context, model.max_positions or context))
    if not encoded:
        raise UserError(
            "The texts for the perplexity have no token to predict; give texts of two words or"
            " more."
        )
    rows = max(1, LOGIT_BYTES // (4 * model.vocabulary))
    total, tokens = 0.0, 0
    for batch in batches(model, encoded, rows, padding=0.25):
        loss, count = batch_loss(model, batch, max(1, len(special)))
        total, tokens = total + loss, tokens + count
    if not math.isfinite(total):
        raise NotFiniteLogits(
            "The model's logits are NaN or infinite on the texts for the perplexity; load it with"
            " --dtype float32, or use another checkpoint."
        )
    mean = min(total / tokens, LARGEST)
    return {"perplexity": math.exp(mean), "tokens": tokens, "texts": len(texts)}


def check_predicts_text(model):
    """UserError for a model that has classes in place of a next token, or that reads both ways."""
    if model.classes or model.architecture.reads_first:
        raise UserError(
            f"{model.name} predicts no next token, so it has no perplexity; leave it out, or choose"
            " a language model."
        )


def windows(model, texts: list[str], special: list[int], context: int) -> list[list[int]]:
    """The windows of all texts that have a token to predict: the special tokens, then at most
    `context - len(special)` tokens of one text.
    """
    step = context - len(special)
    out = []
    for text in texts:
        # a text of more than the model's positions is cut here, which the tokenizer warns of
        ids = model.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        check_embedded(model, ids, "A text for the perplexity")
        pieces = [ids[start : start + step] for start in range(0, len(ids), step)]
        out += [special + piece for piece in pieces if len(special + piece) > 1]
    return out


def batch_loss(model, batch: Batch, first: int) -> tuple[float, int]:
    """The summed negative log-likelihood of a batch's tokens from position `first` on, in nats, and
    their number.
    """
    mask = batch.real
    logits = model.hf(
        input_ids=batch.ids, attention_mask=mask.long(), use_cache=False
    ).logits  # [batch, pos, vocab]
    real = mask[:, first:].to(logits.device)  # [batch, predicted]
    gold = batch.ids[:, first:].to(logits.device)[real]
    loss = F.cross_entropy(logits[:, first - 1 : -1][real].float(), gold, reduction="none")
    return loss.double().sum().item(), len(gold)
