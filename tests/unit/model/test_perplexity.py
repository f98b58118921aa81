"""Perplexity is e to the mean loss over all predicted tokens: against the definition, one token at
a time, with plain transformers.
"""

import math

import pytest
import torch

import ctsft
from ctsft.data.prompt_tokens import leading_tokens
from ctsft.model import perplexity as module
from ctsft.model.loading import wrap
from ctsft.model.perplexity import perplexity
from support.errors import said
from support.tasks import texts
from support.tiny import tiny

TEXTS = [*texts(7, 3), "rice", " ".join(texts(12, 5))]


def naive(model, texts: list[str], special: list[int], context: int) -> tuple[float, int]:
    """Each token for itself, from the logits of one pass over what stands before it."""
    losses = []
    for text in texts:
        ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
        step = context - len(special)
        for start in range(0, len(ids), step):
            window = special + ids[start : start + step]
            for place in range(max(1, len(special)), len(window)):
                logits = model.hf(torch.tensor([window[:place]])).logits[0, -1]
                losses.append(-logits.float().log_softmax(-1)[window[place]].item())
    return math.exp(sum(losses) / len(losses)), len(losses)


@pytest.mark.parametrize("family", ["qwen2", "llama", "gpt2"])
@pytest.mark.parametrize("context", [5, 512])
def test_it_is_the_definition(loaded, family, context, monkeypatch):
    monkeypatch.setattr(module, "LOGIT_BYTES", 40 * 4 * loaded[family].vocabulary)
    model = loaded[family]
    special = leading_tokens(model.tokenizer)
    with torch.no_grad():
        expected, tokens = naive(model, TEXTS, special, context)
    of = perplexity(model, TEXTS, context)
    assert of["perplexity"] == pytest.approx(expected, rel=1e-5)
    assert (of["tokens"], of["texts"]) == (tokens, len(TEXTS))
    # the control: the mean over texts is another number
    each = [perplexity(model, [text], context)["perplexity"] for text in TEXTS[:3]]
    assert math.exp(sum(map(math.log, each)) / 3) != pytest.approx(
        perplexity(model, TEXTS[:3], context)["perplexity"], rel=1e-6
    )


def test_special_tokens_are_context_and_not_counted(build):
    model = build("llama")
    plain = perplexity(model, TEXTS)
    bos = model.tokenizer("rice", add_special_tokens=False)["input_ids"][0]

    class WithFirst:
        def __call__(self, text, add_special_tokens=True, **options):
            ids = tokenizer(text, add_special_tokens=False, **options)["input_ids"]
            return {"input_ids": [bos] * add_special_tokens + ids}

    tokenizer, model.tokenizer = model.tokenizer, WithFirst()
    with torch.no_grad():
        expected, tokens = naive(model, TEXTS, [bos], 512)
    of = perplexity(model, TEXTS)
    # the first token of each text has a context now, and is counted
    assert tokens == of["tokens"] == plain["tokens"] + len(TEXTS)
    assert of["perplexity"] == pytest.approx(expected, rel=1e-5)


def test_what_has_no_perplexity_is_refused(loaded, build):
    said(lambda: perplexity(loaded["qwen2"], []), "no token to predict")
    tokenizer = loaded["llama"].tokenizer
    classes = wrap(tiny("llama", kind="classes", vocab_size=len(tokenizer)), tokenizer)
    said(lambda: perplexity(classes, TEXTS), "predicts no next token")
    broken = build("qwen2")
    with torch.no_grad():
        broken.hf.get_output_embeddings().weight[:] = math.nan
    said(lambda: perplexity(broken, TEXTS), "NaN or infinite")
    assert ctsft.perplexity is perplexity
