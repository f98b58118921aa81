"""What would CD-T save in a source's own block, where what is relevant has the rank of one head?
Counted from shapes; nothing is run.

    python -m benchmarks.low_rank [--texts 50] [--tokens 45]

Relevance enters the residual stream through one head's columns of the output projection, so up to
the MLP's input maps it has rank d_head. Without a bias in the output projection, and with RMSNorms
(Llama, Qwen2 and their kind; GPT-2's shares of biases make it full rank), the input maps could be
multiplied with the head's columns first: d_head products a token instead of d_model, after
d_head x d_model x d_mlp for the head. The last block has one position: there it would not pay.

once a batch   the head's product is made for every batch of texts (what fits in memory)
once a pass    it is stored for all heads: `stored` bytes in float32
faster         all of CD-T's multiplications, without and with it
"""

import argparse

from ctsft.attribution.cost_estimate import propagation_operations
from ctsft.model.footprint import Shape
from ctsft.model.memory_plan import fast_streams
from ctsft.utils.units import bytes_text

# layers, heads, key/value heads, d_head, d_model, d_mlp, output features
SHAPES = {
    "bundled model": Shape(6, 8, 2, 24, 192, 512, 4000, gated=True),
    "SmolLM2-135M": Shape(30, 9, 3, 64, 576, 1536, 49152, gated=True),
    "Qwen2.5-0.5B": Shape(24, 14, 2, 64, 896, 4864, 151936, gated=True),
    "7 B": Shape(28, 28, 4, 128, 3584, 18944, 152064, gated=True),
}


def savings(shape: Shape, texts: int, pos: int, batch: int) -> dict[str, float]:
    """{how often the head's product is made: times faster}, for a head of every layer, on `texts`
    texts in batches of `batch`.
    """
    maps = 2 if shape.gated else 1
    total = texts * sum(propagation_operations(shape, pos, i) for i in range(shape.n_layers))
    full = texts * 2 * pos * shape.d_model * shape.d_mlp * maps
    low = texts * 2 * pos * shape.d_head * shape.d_mlp * maps
    product = 2 * shape.d_head * shape.d_model * shape.d_mlp * maps
    layers = shape.n_layers - 1
    made = {"once a batch": -(-texts // batch), "once a pass": 1}
    return {
        name: total / (total - layers * max(0, full - low - times * product))
        for name, times in made.items()
    }


def stored_bytes(shape: Shape) -> int:
    """Bytes of the products of all heads, in float32."""
    maps = 2 if shape.gated else 1
    return 4 * maps * shape.n_layers * shape.n_heads * shape.d_head * shape.d_mlp


def main(arguments: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=45)
    args = parser.parse_args(arguments)
    print(f"{'faster':16} {'once a batch':>12} {'once a pass':>12} {'stored':>10}")
    for name, shape in SHAPES.items():
        batch = max(1, fast_streams(shape, "cpu") // 4 // args.tokens)
        faster = savings(shape, args.texts, args.tokens, batch)
        cells = " ".join(f"{value:11.3f}x" for value in faster.values())
        print(f"{name:16} {cells} {bytes_text(stored_bytes(shape)):>10}")


if __name__ == "__main__":
    main()
