"""The pass that splits some heads at each position of each text in turn."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace

import torch

from ctsft.attribution.means import Progress
from ctsft.attribution.position_relevance import position_relevance
from ctsft.attribution.position_scores import PositionScores
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scores import Head
from ctsft.attribution.scoring_pass import ScoringPass, single_batch
from ctsft.data.token_text import readable_tokens
from ctsft.model.activations import scratch
from ctsft.model.model import Model
from ctsft.model.process_memory import limited_memory
from ctsft.utils.errors import UserError
from ctsft.utils.format import head_name

TOP_HEADS = 5  # split by position where no heads are named


def score_positions(
    scoring: ScoringPass, heads: Sequence[Head], progress: Progress | None = None
) -> PositionScores:
    """Split each of the heads at each position of each text of a pass in turn.

    A text and a head cost two forward passes with the gradient methods, and one forward pass a
    token with CD-T and mean ablation. `progress(done, total)` counts texts times heads. Raises
    UserError for heads that the model does not have, none, or settings without a meaning here.
    """
    heads = list(dict.fromkeys((int(layer), int(head)) for layer, head in heads))
    check_settings(scoring.settings)
    check_heads(scoring.model, heads)
    relevance, tokens, readouts = [], [], []
    total = float(len(scoring.pool) * len(heads))
    with ExitStack() as stack:
        stack.callback(scratch.clear)
        stack.enter_context(limited_memory(scoring.settings.max_memory, scoring.model.device))
        stack.enter_context(torch.no_grad())
        for number, example in enumerate(scoring.pool):
            batch = single_batch(replace(scoring, pool=[example]))
            by_head = []
            for head in heads:
                by_head.append(position_relevance(batch, head, scoring.method))
                if progress:
                    progress(number * len(heads) + len(by_head), total)
            relevance.append(torch.stack(by_head))
            encoded = scoring.task.encode(scoring.model, example)
            tokens.append(readable_tokens(scoring.model.tokenizer, encoded))
            readouts.append(int(batch.batch.readout[0]))
    first = -max(readouts)
    last = max(part.shape[1] - at for part, at in zip(relevance, readouts, strict=True))
    scores = torch.full((len(scoring.pool), len(heads), last - first), float("nan"))
    for row, part, at in zip(scores, relevance, readouts, strict=True):
        row[:, -first - at : -first - at + part.shape[1]] = part
    examples = [row.id for row in scoring.pool]
    offsets = list(range(first, last))
    settings = asdict(scoring.settings)
    return PositionScores(scores, heads, offsets, tokens, examples, scoring.method, settings)


def check_heads(model: Model, heads: Sequence[Head]) -> None:
    """UserError where there is no head, or one that the model does not have."""
    if not heads:
        raise UserError("No head is named to be split by position; name at least one.")
    for head in heads:
        if head not in model.heads:
            raise UserError(
                f"{head_name(head)} is not a head of {model.name or 'this model'}; it has"
                f" {model.n_layers} layers of {model.n_heads} heads, counted from 0."
            )


def check_settings(settings: ScoreConfig) -> None:
    """UserError for settings that have no meaning at a single position."""
    if settings.targets or settings.score != "signed" or settings.positions == "readout":
        raise UserError(
            "Scores by position are signed scores towards the logits, from means over all"
            " positions; leave out head targets, magnitude scores and positions 'readout'."
        )
