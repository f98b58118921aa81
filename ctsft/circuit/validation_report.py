"""The validation report as a table of text."""

from ctsft.circuit.validation import MEASURES, TRUTH


def table(words: dict) -> str:
    """A report (its `words`) for the shell."""
    names = list(words["agreement"])
    tops = [row["k"] for row in words["agreement"][TRUTH]["overlap"]]
    lines = [
        f"Agreement with mean ablation: {words['examples']} texts,"
        f" {words['n_layers'] * words['n_heads']} heads; cost in plain forward passes over these"
        " texts"
    ]
    lines += grid(
        [["method", "Spearman", *(f"top {k}" for k in tops), "cost", "seconds"]]
        + [
            [
                name,
                number(row["spearman"]),
                *(f"{top['common']} of {top['k']}" for top in row["overlap"]),
                f"{row['passes']:.1f}",
                f"{row['seconds']:.2f}",
            ]
            for name, row in words["agreement"].items()
        ]
    )
    lines += ["", "Mean score by layer"] + grid(
        [["layer", *names]]
        + [
            [str(i), *(number(words["agreement"][name]["layers"][i]) for name in names)]
            for i in range(words["n_layers"])
        ]
    )
    bands, points = (
        {row["size"]: row for row in words["random"]},
        {(row["size"], row["method"]): row for row in words["curves"]},
    )
    sizes = [
        size
        for size in dict.fromkeys(size for size, _ in points)
        if all((size, name) in points for name in names)
    ]
    for measure in MEASURES if sizes else ():
        lines += [
            "",
            (
                f"Faithfulness by {measure} on {words['rows']} unseen rows: random circuits (5th to"
                " 95th percentile), each ranking's first"
            ),
        ]
        lines += grid(
            [["heads", "random", *names]]
            + [
                [
                    str(size),
                    spoken(bands.get(size, {}).get(measure)),
                    *(number(points[size, name][measure]) for name in names),
                ]
                for size in sizes
            ]
        )
    if bands and sizes:
        lines += ["", "Share of the random circuits that are less faithful by margin"] + grid(
            [["heads", *names]]
            + [
                [str(size), *(number(points[size, name]["beats"]) for name in names)]
                for size in sizes
                if size in bands
            ]
        )
    if words["stability"]:
        some = next(iter(words["stability"].values()))
        lines += [
            "",
            (
                f"Stability over {some['pools']} discovery sets, which share"
                f" {number(some['texts_jaccard'])} of their texts (Jaccard)"
            ),
        ]
        lines += grid(
            [["method", f"top {some['k']} Jaccard", "pairs with the same first head"]]
            + [
                [name, number(row["jaccard"]), number(row["top1"])]
                for name, row in words["stability"].items()
            ]
        )
    return "\n".join(lines)


def number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def spoken(band: dict | None) -> str:
    return (
        f"{number(band['mean'])} ({number(band['low'])} to {number(band['high'])})" if band else ""
    )


def grid(lines: list[list[str]]) -> list[str]:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
