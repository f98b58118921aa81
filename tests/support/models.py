"""Settings of the tiny models that most tests use."""

# the seeds give each label its share of the predictions
FAMILIES = {
    "gpt2": {"seed": 2, "n_positions": 160},
    "llama": {"seed": 1, "max_position_embeddings": 160},
    "mistral": {"seed": 1, "max_position_embeddings": 160, "sliding_window": 4},
    "qwen2": {"seed": 2, "max_position_embeddings": 160},
}
