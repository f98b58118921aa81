"""What does tuning a circuit cost beside tuning everything? Ratios measured in one run on this
machine, printed and written to a file.

    python -m benchmarks.bench_tuning [--out bench_tuning.json] [--rounds 3] [--steps 3] [--batch 8]

2 % of the heads, drawn evenly over the layers, first and last included, and all norms, against full
tuning of the same model; and each of the two with the source held (`hold`) against without.

time       of a whole step of `ctsft.finetune` (forward, backward, clipping, AdamW), rounds of both
           kinds in turn; the median of the steps after
           each round's first
trained    share of the parameters that are trained
memory     bytes of gradients and AdamW's state after a step, of full tuning's: what is there at the
           step's peak beside weights and activations
beside     bytes of the trained slices and their starting values, which stand beside the model, of
           the model's
held       time of a step with hold, of the same without; and bytes that holding takes, of what
           training takes without it (parameters, gradients and AdamW's state)
"""

import argparse
import json
import os
import statistics
import time

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

import ctsft
from ctsft.model.batching import pad
from ctsft.model.forward import readout_logits
from ctsft.model.loading import wrap
from ctsft.tuning.masked_training import masked_training
from ctsft.tuning.source_hold import SourceHold

SOURCE_ROWS = 2  # that the Fisher information is taken on; a step does not depend on them

SHAPES = {
    "GPT-2 small": lambda: GPT2LMHeadModel(GPT2Config()),
    "SmolLM2-135M": lambda: LlamaForCausalLM(
        LlamaConfig(
            vocab_size=49152,
            hidden_size=576,
            intermediate_size=1536,
            num_hidden_layers=30,
            num_attention_heads=9,
            num_key_value_heads=3,
            tie_word_embeddings=True,
            max_position_embeddings=8192,
        )
    ),
}


def heads_of(model, fraction: float) -> frozenset:
    """max(1, fraction of all) heads, evenly over the layers."""
    count = max(1, int(fraction * len(model.heads) + 1e-9))
    places = torch.linspace(0, len(model.heads) - 1, count).round().int().tolist()
    return frozenset(model.heads[i] for i in places)


def step_times(model, task, what, rows, steps: int, config: ctsft.TuneConfig) -> list[float]:
    """Seconds of each step but the first."""
    stamps = []
    watch = ctsft.Watch(progress=lambda step, total: stamps.append(time.perf_counter()))
    ctsft.finetune(
        model,
        task,
        what,
        rows[: steps * config.batch_size],
        {},
        config,
        watch,
        rows[:SOURCE_ROWS],
    )
    return [end - start for start, end in zip(stamps[1:], stamps[2:], strict=False)]


def bytes_of(model, what) -> dict[str, int]:
    """Gradients, optimiser state, and what stands beside the model, after one step."""
    with masked_training(model, what) as hf:
        trained = [value for value in hf.parameters() if value.requires_grad]
        optimizer = torch.optim.AdamW(trained)
        readout_logits(hf, pad([[1, 2, 3, 4]], model.device)).sum().backward()
        optimizer.step()
        ones = {
            name: torch.ones_like(value)
            for name, value in hf.named_parameters()
            if value.requires_grad
        }
        hold = SourceHold(hf, ones, ctsft.TuneConfig(hold=9.0))
        held = sum(start.nbytes + fisher.nbytes for _, start, fisher in hold.held)
        state = sum(value.nbytes for row in optimizer.state.values() for value in row.values())
        beside = sum(value.nbytes for value in hf.trained_slices.parameters())
        starts = sum(hf.trained_slices.weights[name].nbytes for name in hf.trained_slices.weights)
        return {
            "gradients": sum(value.grad.nbytes for value in trained),
            "state": state,
            "values": sum(value.nbytes for value in trained),
            "held": held,
            "beside": beside + starts,
            "trained": sum(value.numel() for value in trained),
        }


def measure(name: str, make, rounds: int, steps: int, batch: int) -> dict:
    torch.manual_seed(0)
    demo, task = ctsft.load_model("demo"), ctsft.load_task("demo")
    model = wrap(make(), demo.tokenizer, name)
    heads, rows = heads_of(model, 0.02), task.load("english", "train")
    config = ctsft.TuneConfig(epochs=1, batch_size=batch, learning_rate=1e-5)
    held = config.model_copy(update={"hold": 9.0})
    circuit = ctsft.Circuit(heads)
    kinds = {
        "full": ("full", config),
        "full_held": ("full", held),
        "circuit": (circuit, config),
        "circuit_held": (circuit, held),
    }
    times = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, (what, settings) in kinds.items():
            times[kind] += step_times(model, task, what, rows, steps + 1, settings)
    sizes = {"full": bytes_of(model, "full"), "circuit": bytes_of(model, heads)}
    memory = {kind: size["gradients"] + size["state"] for kind, size in sizes.items()}
    median = {kind: statistics.median(seconds) for kind, seconds in times.items()}
    return {
        "model": name,
        "heads": len(heads),
        "of": len(model.heads),
        "trained": sizes["circuit"]["trained"] / model.n_params,
        "seconds": median,
        "steps": times,
        "time": median["circuit"] / median["full"],
        "held_time": {kind: median[f"{kind}_held"] / median[kind] for kind in sizes},
        "held_memory": {
            kind: size["held"] / (size["values"] + size["gradients"] + size["state"])
            for kind, size in sizes.items()
        },
        "bytes": sizes,
        "memory": memory["circuit"] / memory["full"],
        "state": sizes["circuit"]["state"] / sizes["full"]["state"],
        "beside": sizes["circuit"]["beside"] / (model.n_params * model.dtype.itemsize),
    }


def held_text(row: dict) -> str:
    """What holding the source takes, in one line."""
    parts = [
        f"{kind}: step {row['held_time'][kind]:.2f} of the same without"
        f" ({row['seconds'][f'{kind}_held']:.2f} s, {row['seconds'][kind]:.2f} s),"
        f" memory +{row['held_memory'][kind]:.0%} of values, gradients and optimiser state"
        for kind in row["held_time"]
    ]
    return f"{row['model']} with the source held: {'; '.join(parts)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="bench_tuning.json")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    args = parser.parse_args()
    os.environ["CTSFT_CACHE_BYTES"] = "0"  # the Fisher information of random weights
    rows = []
    for name, make in SHAPES.items():
        row = measure(name, make, args.rounds, args.steps, args.batch)
        rows.append(row)
        print(
            f"{name}: {row['heads']} of {row['of']} heads and norms, {row['trained']:.2%} of the"
            f" parameters; step {row['seconds']['circuit']:.2f} s against"
            f" {row['seconds']['full']:.2f} s of full tuning: {row['time']:.2f}; gradients and"
            f" optimiser state {row['memory']:.4f} of full tuning's (state alone"
            f" {row['state']:.4f}); slices beside the model {row['beside']:.4f} of it",
            flush=True,
        )
        print(held_text(row), flush=True)
    with open(args.out, "w", encoding="utf-8") as file:
        json.dump(
            {"threads": torch.get_num_threads(), "torch": torch.__version__, "rows": rows},
            file,
            indent=1,
        )


if __name__ == "__main__":
    main()
