"""Are the scores on a GPU right? Parts of `benchmarks.gpu`: against those on a CPU, and in each
number format against float64.
"""

import torch

from benchmarks.gpu_models import SMALL, Plan, build, free, timed
from benchmarks.random_pass import mean_z, random_pass, random_texts
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.variants import DEFAULT_VARIANTS, VARIANTS
from ctsft.utils.statistics import spearman

# of float64 scores on two devices: Hugging Face casts to float32 in norms and rotary angles
PATHS_TOLERANCE = 1e-6
# {name: (dtype, whether float32 products are rounded to TF32)}
FORMATS = {
    "float32": (torch.float32, False),
    "TF32": (torch.float32, True),
    "bfloat16": (torch.bfloat16, False),
}


def difference(scores: torch.Tensor, exact: torch.Tensor) -> float:
    """The largest difference, as a share of the largest exact score."""
    return ((scores - exact).abs().nan_to_num().max() / exact.abs().nan_to_num().max()).item()


def paths(device: str) -> list[str]:
    """A table row for each variant of each method: the GPU's scores against the CPU's."""
    lines = ["| scores | largest difference |", "|---|---|"]
    models = [build(SMALL, place, torch.float64) for place in (device, "cpu")]
    texts = random_texts(SMALL["vocab_size"], 3, 12)
    mu = mean_z(models[1], texts)
    for name in DEFAULT_VARIANTS:
        variant = VARIANTS[name]
        config = ScoreConfig(**variant.settings)
        here, there = (random_pass(model, texts, mu, variant.method, config) for model in models)
        error = difference(here, there)
        verdict = "" if error <= PATHS_TOLERANCE else " **too large**"
        lines.append(f"| {name} | {error:.1e}{verdict} |")
    return lines


def format_errors(plan: Plan, device: str) -> list[str]:
    """A table row for each number format: CD-T's errors against float64."""
    texts = random_texts(plan.shape["vocab_size"], plan.exact_texts, plan.tokens)
    model = build(plan.shape, device, torch.float64)
    mu = mean_z(model, texts).cpu()
    exact, seconds = timed(lambda m=model: random_pass(m, texts, mu), device)
    heads = exact.mean(0).flatten()
    k = max(1, int(0.02 * len(heads)))
    lines = [
        f"CD-T of all {len(heads)} heads on {len(texts)} texts of {plan.tokens} tokens;"
        " *error* is the largest difference of a head's mean score, as a share of the largest.",
        "",
        f"| format | error | Spearman | top {k} heads shared | seconds |",
        "|---|---|---|---|---|",
        f"| float64 | 0 | 1 | {k} of {k} | {seconds:.2f} |",
    ]
    del model
    for name, (dtype, tf32) in FORMATS.items():
        free(device)
        model = build(plan.shape, device, dtype)
        with tf32_allowed(tf32):
            random_pass(model, texts[:1], mu)  # the first call loads kernels
            scores, seconds = timed(lambda m=model: random_pass(m, texts, mu), device)
        values = scores.mean(0).flatten()
        shared = len(set(values.topk(k).indices.tolist()) & set(heads.topk(k).indices.tolist()))
        lines.append(
            f"| {name} | {difference(values, heads):.1e} | {spearman(heads, values):.4f} |"
            f" {shared} of {k} | {seconds:.2f} |"
        )
        del model
    return lines


class tf32_allowed:
    """Inside the `with`, CUDA rounds float32 products to TF32, or does not."""

    def __init__(self, allowed: bool):
        self.allowed = allowed

    def __enter__(self):
        self.before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = self.allowed

    def __exit__(self, *error):
        torch.backends.cuda.matmul.allow_tf32 = self.before
