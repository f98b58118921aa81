"""What scoring every head of a 7 B and a 70 B model would cost, by the estimator: estimates,
nothing of it was run.

    python -m benchmarks.cost_table [--gflops 200000]

Shapes are made without weights. The rate is an assumption: what one accelerator reaches on matrix
products in bfloat16, with what stands around them.
"""

import argparse

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from ctsft.attribution.cost_estimate import estimate_shape
from ctsft.model.footprint import Shape
from ctsft.model.model import Model
from ctsft.utils.units import bytes_text, duration_text

SHAPES = {
    "7 B (28 layers x 28 heads)": (
        Qwen2ForCausalLM,
        Qwen2Config(
            vocab_size=152064,
            hidden_size=3584,
            intermediate_size=18944,
            num_hidden_layers=28,
            num_attention_heads=28,
            num_key_value_heads=4,
        ),
    ),
    "70 B (80 layers x 64 heads)": (
        LlamaForCausalLM,
        LlamaConfig(
            vocab_size=128256,
            hidden_size=8192,
            intermediate_size=28672,
            num_hidden_layers=80,
            num_attention_heads=64,
            num_key_value_heads=8,
        ),
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--gflops", type=float, default=200_000, help="assumed rate of one accelerator"
    )
    parser.add_argument("--texts", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=45)
    args = parser.parse_args()
    print(
        f"ESTIMATES: {args.texts} texts of {args.tokens} tokens, bfloat16, assumed"
        f" {args.gflops:,.0f} GFLOP/s an accelerator"
    )
    for name, (kind, config) in SHAPES.items():
        with torch.device("meta"):
            model = Model(kind(config).to(torch.bfloat16), None)
        shape = Shape.of(model, "cuda")
        for method in ("atp", "ig", "cdt", "ablation"):
            estimate = estimate_shape(
                shape, model.n_params, [args.tokens] * args.texts, args.gflops, method
            )
            print(
                f"{name:28} {method:9} {estimate.operations:9.2e} operations "
                f" {duration_text(estimate.seconds):>9} on one,"
                f" {duration_text(estimate.seconds / 8):>9} on 8 "
                f" {bytes_text(estimate.memory):>8}"
            )


if __name__ == "__main__":
    main()
