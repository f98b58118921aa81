"""Result rows of an experiment, by hand."""


def row(method, target, seed, after, source, n=5):
    figures = {
        "target_before": 0.25,
        "source_before": 0.75,
        "target_after": after,
        "source_after": source,
        "plasticity": after - 0.25,
        "forgetting": 0.75 - source,
    }
    return (
        {
            "setting": "one",
            "method": method,
            "target": target,
            "n": n,
            "seed": seed,
            "learning_rate": 1e-3,
        }
        | figures
        | {f"{name}_f1": value for name, value in figures.items()}
    )


ROWS = [
    row("circuit", "jv", 1, 0.5, 0.7),
    row("circuit", "jv", 2, 0.7, 0.7),
    row("full", "jv", 1, 0.4, 0.5),
    row("full", "jv", 2, 0.4, 0.3),
    row("circuit", "su", 1, 0.3, 0.5),
    row("full", "su", 1, 0.2, 0.1),
]
