"""A scoring pass over random texts, for benchmarks: neither a task nor a tokenizer is needed."""

import torch

from ctsft.attribution.methods import METHODS
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scoring_batch import ScoringBatch
from ctsft.model import memory_plan
from ctsft.model.activations import scratch
from ctsft.model.batching import batches, pad
from ctsft.model.evaluation import direction_weights
from ctsft.model.forward import record
from ctsft.model.model import Model
from ctsft.model.process_memory import limited_memory

LABEL_TOKENS = [11, 12, 13]
MEAN_TEXTS = 8  # that the means are taken over


def random_texts(vocab: int, examples: int, pos: int, seed: int = 1) -> list[list[int]]:
    """`examples` texts of `pos` random token ids."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(vocab, (examples, pos), generator=draw).tolist()


@torch.no_grad()
def mean_z(model: Model, texts: list[list[int]]) -> torch.Tensor:
    """The mean of every head's z over some texts of equal length, [layer, head, d_head]."""
    trace = record(model, pad(texts[:MEAN_TEXTS], model.device))
    return torch.stack([z.mean((0, 1)) for z in trace.z])


def random_pass(
    model: Model,
    texts: list[list[int]],
    mu: torch.Tensor,
    method: str = "cdt",
    config: ScoreConfig | None = None,
) -> torch.Tensor:
    """Scores of all heads, [example, layer, head] in float64 on the CPU; NaN where a head is no
    source. The direction is the first label's logit minus the mean of the other two.
    """
    config = config or ScoreConfig()
    pos = max(map(len, texts))
    work = memory_plan.Workload(method, pos, len(texts), config.rules == "symmetric")
    scores = torch.full((len(texts), *mu.shape[:2]), torch.nan, dtype=torch.float64)
    mu = mu.to(model.device, model.dtype)
    with limited_memory(config.max_memory, model.device):
        plan = memory_plan.make_plan(model, work, config.batch_tokens, config.max_memory)
        for batch in batches(model, texts, plan.tokens):
            gold = direction_weights(torch.zeros(len(batch.index), dtype=torch.long), 3).to(mu)
            part = ScoringBatch(model, batch, LABEL_TOKENS, gold, mu, config, plan)
            rows = torch.tensor(batch.index)[:, None]
            for layer, heads, values in METHODS[method].run(part):
                scores[rows, layer, torch.tensor(heads)] = values.detach().double().cpu()
    scratch.clear()
    return scores
