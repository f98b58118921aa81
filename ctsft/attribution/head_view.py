"""One head on one text: where it attends, what it writes towards the answer, and at which tokens
its score arises (see `direct_effect` and `position_relevance`).
"""

from dataclasses import dataclass, replace

import torch

from ctsft.attribution.direct_effect import direct_effect
from ctsft.attribution.means import Means
from ctsft.attribution.methods import METHODS, check_single_texts
from ctsft.attribution.position_relevance import position_relevance
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scores import Head
from ctsft.attribution.scoring_pass import ScoringPass, single_batch
from ctsft.attribution.source_tokens import source_effects
from ctsft.data.task import Example, Task
from ctsft.data.token_text import readable_token, readable_tokens
from ctsft.model.forward import attention_pattern, record
from ctsft.model.loading import as_model
from ctsft.model.model import Model
from ctsft.utils.errors import UserError

TokenEffects = list[tuple[str, float]]  # token as text, effect in logits


@dataclass(frozen=True)
class ViewConfig(ScoreConfig):
    """Settings of a view: those of a scoring pass, and how many tokens it names."""

    # promoted tokens, and as many suppressed ones
    top: int = 10


@dataclass(frozen=True)
class HeadView:
    """Tensors are float32 on the CPU. Effects and relevance are in logits."""

    head: Head
    pieces: list[str]  # the prompt's tokens as readable text
    attention: torch.Tensor  # [query pos, key pos], rows sum to 1
    readout: int  # the position at which the answer is read
    labels: dict[str, float]  # direct effect on each label's token
    # the tokens with the largest direct effect, falling; None for a classifier
    promoted: TokenEffects | None
    # the tokens with the smallest direct effect, rising; None for a classifier
    suppressed: TokenEffects | None
    relevance: torch.Tensor  # [pos], by `method`
    method: str
    by_source: torch.Tensor  # [pos], direct effect on the label direction by source token


def view_head(
    model,
    task: Task,
    example: Example,
    means: Means,
    head: Head,
    method: str = "cdt",
    **config,
) -> HeadView:
    """Attention pattern, direct effect and relevance by position of one head; `config` are the
    fields of `ScoreConfig`, and `top`: the number of promoted and of suppressed tokens.

    Costs about two forward passes; for CD-T and mean ablation one pass a token. Raises UserError
    for a head that the model does not have, an unknown method, or means of another shape.
    """
    model, settings = as_model(model), ViewConfig(**config)
    check(model, means, head, method)
    settings = replace(settings, positions=settings.positions or means.positions)
    batch = single_batch(ScoringPass(model, task, [example], means, method, settings))
    with torch.no_grad():
        trace = record(model, batch.batch)
        effect = direct_effect(model, trace, head)
        relevance = position_relevance(batch, head, method)
        label_ids = task.label_ids(model)
        by_source = source_effects(model, trace, head, label_ids, example.label)
    promoted, suppressed = None, None
    if not model.classes:
        promoted, suppressed = extreme_tokens(model, effect, settings.top)
    return HeadView(
        head,
        readable_tokens(model.tokenizer, task.encode(model, example)),
        attention_pattern(trace, head[0])[0, head[1]].float().cpu(),
        int(trace.batch.readout[0]),
        {label: effect[token].item() for label, token in label_ids.items()},
        promoted,
        suppressed,
        relevance,
        method,
        by_source,
    )


def check(model: Model, means: Means, head: Head, method: str) -> None:
    if head not in model.heads:
        raise UserError(
            f"{head} is not a head of {model.name or 'this model'}; it has {model.n_layers} layers"
            f" of {model.n_heads} heads, counted from 0."
        )
    if method not in METHODS:
        raise UserError(f"{method!r} is not a scoring method; choose from {', '.join(METHODS)}.")
    check_single_texts(method)
    means.check(model)


def extreme_tokens(
    model: Model, effect: torch.Tensor, top: int
) -> tuple[TokenEffects, TokenEffects]:
    """The tokens whose logits an effect [vocab] raises and lowers most."""

    def as_text(best):
        return [
            (readable_token(model.tokenizer, token), value)
            for token, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    # a padded vocabulary has rows that stand for no token
    known = effect[: len(model.tokenizer)]
    k = min(top, len(known))
    return as_text(known.topk(k)), as_text(known.topk(k, largest=False))
