"""Are the CUDA paths right, and how fast are they on one GPU? Weights are random, nothing is
downloaded; prints a report and writes it to docs/results/gpu.md.

    python -m benchmarks.gpu [--out docs/results/gpu.md] [--tiny]

paths      all methods and variants on a small float64 model, on the GPU and on the CPU: the largest
           difference of a score, as a share of the largest score
formats    CD-T of all heads of Qwen2.5-0.5B's shape in float32, TF32 and bfloat16 against float64
pass       CD-T of all 336 heads on 50 texts of 45 tokens: seconds (goal: 30 s) and memory at the
           peak, without a bound and with one
methods    seconds of each method on the same texts, in float32
tuning     a training step of 2 % of the heads and all norms against a step of full tuning

`--tiny` runs all of it with small shapes on whatever device there is, and writes nothing unless
`--out` is set: a test of this program, not a measurement.
"""

import argparse
import functools
import json
import statistics
import sys

import torch

import ctsft
from benchmarks.bench_tuning import heads_of, step_times
from benchmarks.gpu_models import TINY, Plan, build, free, timed
from benchmarks.gpu_precision import FORMATS, format_errors, paths, tf32_allowed
from benchmarks.random_pass import mean_z, random_pass, random_texts
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.variants import DEFAULT_VARIANTS, VARIANTS
from ctsft.model.batching import pad
from ctsft.model.forward import readout_logits
from ctsft.model.model import Model
from ctsft.model.process_memory import memory_in_use
from ctsft.receipts.document_file import stamped
from ctsft.utils.errors import UserError
from ctsft.utils.units import bytes_text

OUT = "docs/results/gpu.md"
GOAL = 30.0  # seconds of the pass
RECEIPT = {
    "command": "python -m benchmarks.gpu",
    "run": "none: timed",
    "rows": "texts of random tokens; a training step takes rows of the bundled corpus",
    "seed": "weights 0, texts 1",
    "model": "Qwen2 with random weights",
    "interval": "none: one run",
    "needs": "an NVIDIA GPU and torch for CUDA, about four minutes",
}


def peak_of(device: str) -> int | None:
    """Bytes allocated at the peak since `free`; None on a CPU."""
    return torch.cuda.max_memory_allocated() if device == "cuda" else None


def whole_pass(plan: Plan, device: str) -> list[str]:
    """A table row for each number format, without and with a bound on memory."""
    texts = random_texts(plan.shape["vocab_size"], plan.texts, plan.tokens)
    lines = ["| format | bound on memory | seconds | memory at the peak |", "|---|---|---|---|"]
    for name, (dtype, tf32) in FORMATS.items():
        free(device)
        model = build(plan.shape, device, dtype)
        mu = mean_z(model, texts)
        with tf32_allowed(tf32):
            random_pass(model, texts[:1], mu)
            for bound in (None, bound_of(model, plan)):
                free(device)
                config = ScoreConfig(max_memory=bound)
                _, seconds = timed(
                    lambda m=model, mu=mu, c=config: random_pass(m, texts, mu, "cdt", c), device
                )
                lines.append(pass_line(name, bound, seconds, peak_of(device)))
        del model
    heads = plan.shape["num_hidden_layers"] * plan.shape["num_attention_heads"]
    return [
        f"CD-T of all {heads} heads on {plan.texts} texts of {plan.tokens} tokens"
        f" (goal: {GOAL:.0f} s).",
        "",
        *lines,
    ]


def methods(plan: Plan, device: str) -> list[str]:
    """A table row for each variant of each method: seconds, and in multiples of a forward pass."""
    texts = random_texts(plan.shape["vocab_size"], plan.texts, plan.tokens)
    model = build(plan.shape, device)
    mu = mean_z(model, texts)
    forward = statistics.median(
        timed(lambda: forward_pass(model, texts), device)[1] for _ in range(1 + plan.rounds)
    )
    lines = ["| scores | seconds | forward passes |", "|---|---|---|"]
    for name in DEFAULT_VARIANTS:
        free(device)
        variant = VARIANTS[name]
        config = ScoreConfig(**variant.settings)
        random_pass(model, texts[:1], mu, variant.method, config)
        work = functools.partial(random_pass, model, texts, mu, variant.method, config)
        _, seconds = timed(work, device)
        lines.append(f"| {name} | {seconds:.2f} | {seconds / forward:.0f} |")
    return [f"The same texts, float32; a forward pass over them takes {forward:.4f} s.", "", *lines]


@torch.no_grad()
def forward_pass(model: Model, texts: list[list[int]]):
    readout_logits(model.hf, pad(texts, model.device))


def bound_of(model: Model, plan: Plan) -> int:
    return memory_in_use(model.device) + plan.room


def pass_line(name: str, bound: int | None, seconds: float, peak: int | None) -> str:
    limit = "none" if bound is None else bytes_text(bound)
    goal = "" if seconds <= GOAL else " **over the goal**"
    over = " **over the bound**" if bound and peak and peak > bound else ""
    held = "not measured on a CPU" if peak is None else bytes_text(peak)
    return f"| {name} | {limit} | {seconds:.2f}{goal} | {held}{over} |"


def tuning(plan: Plan, device: str) -> list[str]:
    """A step of a circuit against a step of full tuning, in float32."""
    tokenizer, task = ctsft.load_model("demo", "cpu").tokenizer, ctsft.load_task("demo")
    rows = task.load("english", "train")
    config = ctsft.TuneConfig(epochs=1, batch_size=plan.batch, learning_rate=1e-5)
    times: dict[str, list[float]] = {"circuit": [], "full": []}
    memory: dict[str, int | None] = {}
    for _ in range(plan.rounds):
        for kind in times:
            free(device)
            model = build(plan.shape, device, tokenizer=tokenizer)
            heads = heads_of(model, 0.02)
            what = "full" if kind == "full" else ctsft.Circuit(heads)
            times[kind] += step_times(model, task, what, rows, plan.steps + 1, config)
            memory[kind] = peak_of(device)
            del model
    circuit, full = (statistics.median(times[kind]) for kind in ("circuit", "full"))
    held = ""
    if memory["full"]:
        held = f"; memory at the peak {bytes_text(memory['circuit'])} and"
        held += f" {bytes_text(memory['full'])}"
    return [
        f"{len(heads)} heads and all norms against full tuning, {plan.batch} rows a step, float32:"
        f" {circuit:.4f} s and {full:.4f} s ({circuit / full:.2f}){held}."
    ]


def device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else "a CPU"


PARTS = {
    "The same scores as on a CPU": lambda plan, device: paths(device),
    "Number formats": format_errors,
    "A whole pass": whole_pass,
    "Each method": methods,
    "A training step": tuning,
}


def report(plan: Plan, device: str) -> str:
    """The page, in Markdown; each part is printed when it is done."""
    shape = "a small shape" if plan is TINY else "the shape of `Qwen2.5-0.5B`"
    lines = [
        "# On a GPU",
        "",
        f"Written by `python -m benchmarks.gpu` on {device_name(device)}, `torch"
        f" {torch.__version__}`; {shape}, random weights.",
        "`python -m pytest tests/real/test_cuda.py` compares every family's scores by every method"
        " with the CPU's, and repeats and resumes training to the bit.",
    ]
    receipt = f"<!-- receipt: {json.dumps(RECEIPT)} -->"
    for title, part in PARTS.items():
        rows, seconds = timed(lambda part=part: part(plan, device), device)
        print("\n".join(["", f"## {title}", "", *rows]), f"\n({seconds:.0f} s)", flush=True)
        lines += ["", f"## {title}", "", receipt, "", *rows]
    return stamped("\n".join(lines), OUT)


def run(arguments: list[str] | None = None) -> str:
    """The report; UserError without a GPU, unless `--tiny`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help=f"default: {OUT}; with --tiny: none")
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args(arguments)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not args.tiny:
        raise UserError(
            "This benchmark measures a CUDA device and torch finds none here; run it on a machine"
            " with an NVIDIA GPU, or with --tiny to try the program itself on the CPU."
        )
    page = report(TINY if args.tiny else Plan(), device)
    out = args.out or (None if args.tiny else OUT)
    if out:
        with open(out, "w", encoding="utf-8") as file:
            file.write(page)
    return page


def main():
    try:
        run()
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
