"""How near are the estimates? Seconds and peak memory, estimated and then measured, each pass in a
process of its own.

python -m benchmarks.bench_estimate
"""

import json
import resource
import subprocess
import sys
import time

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from ctsft.attribution import cost_estimate
from ctsft.attribution.methods import METHODS
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scoring_batch import ScoringBatch
from ctsft.model import memory_plan
from ctsft.model.batching import batches
from ctsft.model.loading import load_model, wrap
from ctsft.model.process_memory import limited_memory
from ctsft.utils import units

CASES = [("demo", 50, 40), ("gpt2", 8, 40), ("smollm2", 4, 40)]


def build(name: str):
    torch.manual_seed(0)
    if name == "demo":
        return load_model("demo")
    if name == "gpt2":
        return wrap(GPT2LMHeadModel(GPT2Config()), None, name)
    return wrap(
        LlamaForCausalLM(
            LlamaConfig(
                vocab_size=49152,
                hidden_size=576,
                intermediate_size=1536,
                num_hidden_layers=30,
                num_attention_heads=9,
                num_key_value_heads=3,
            )
        ),
        None,
        name,
    )


def measure(name: str, texts: int, pos: int, method: str) -> dict:
    """Estimate, then run the pass over random tokens."""
    model, draw = build(name), torch.Generator().manual_seed(0)
    encoded = [
        torch.randint(model.hf.config.vocab_size, (pos - i % 5,), generator=draw).tolist()
        for i in range(texts)
    ]
    guess = cost_estimate.estimate_cost(model, encoded, method)
    plan = memory_plan.make_plan(model, memory_plan.Workload(method, pos, texts))
    mu, began = torch.zeros(model.n_layers, model.n_heads, model.d_head), time.perf_counter()
    with limited_memory(None, model.device):
        for batch in batches(model, encoded, plan.tokens):
            for _ in METHODS[method].run(
                ScoringBatch(
                    model,
                    batch,
                    [1, 2, 3],
                    torch.ones(len(batch.index), 3),
                    mu,
                    ScoreConfig(),
                    plan,
                )
            ):
                pass
    seconds = time.perf_counter() - began
    return {
        "model": name,
        "method": method,
        "estimated_seconds": guess.seconds,
        "seconds": seconds,
        "estimated_memory": guess.memory,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def main():
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])))
        return
    print(
        f"{'model':8} {'method':9} {'estimated':>10} {'measured':>9} {'ratio':>6} {'estimated':>10}"
        f" {'peak':>9} {'ratio':>6}"
    )
    for name, texts, pos in CASES:
        for method in ("cdt", "atp", "ig", "ablation") if name == "demo" else ("cdt", "atp"):
            command = [
                sys.executable,
                "-m",
                "benchmarks.bench_estimate",
                name,
                str(texts),
                str(pos),
                method,
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            row = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{row['model']:8} {row['method']:9} {row['estimated_seconds']:9.2f}s"
                f" {row['seconds']:8.2f}s {row['estimated_seconds'] / row['seconds']:6.2f}"
                f" {units.bytes_text(row['estimated_memory']):>10}"
                f" {units.bytes_text(row['memory']):>9}"
                f" {row['estimated_memory'] / row['memory']:6.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
