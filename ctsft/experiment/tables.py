"""The results of an experiment as tables: the layout of Table 4 of CT-SFT (arXiv 2601.08146; rows
are targets, columns are methods by n, for target and source accuracy), and paired differences.

The input is a flat row for each trial (`trial_row`): setting, method, target, n, seed,
learning_rate, {source,target}_{before,after}, forgetting, plasticity, and the same with the ending
`_f1` for macro-F1. Figures are means and standard deviations over seeds; intervals are 95 %
bootstrap intervals (`utils.statistics`).
"""

import re
from collections.abc import Iterable, Mapping

from ctsft.jobs.experiment_design import Trial
from ctsft.utils.csv_text import csv_text
from ctsft.utils.statistics import (
    ALL_TARGETS,
    Spread,
    average_over_targets,
    paired_difference,
    spread,
    spread_by_group,
)

SIDES = ("target", "source")


GROUP = ("setting", "method", "target", "n")


FEW = 6  # pairs below which an interval means little


# what would be a column, HTML, code, a link or a picture in a cell of a Markdown table
MARKDOWN_SIGNS = re.compile(r"([\\`<|]|(?<=\])\()")


def trial_row(trial: Trial, row: Mapping, source: str) -> dict:
    """The flat row of a trial, from its result (`trials.run_trial`)."""
    columns = trial.model_dump(exclude={"split"})
    for ending, measure in (("", "accuracy"), ("_f1", "macro_f1")):
        for side, language in (("source", source), ("target", trial.target)):
            for when in ("before", "after"):
                columns[f"{side}_{when}{ending}"] = row[when][language][measure]
        columns |= {f"{name}{ending}": row[name][measure] for name in ("forgetting", "plasticity")}
    for language in row["after"]:
        if language not in (source, trial.target):
            columns |= {
                f"{language}_before": row["before"][language]["accuracy"],
                f"{language}_after": row["after"][language]["accuracy"],
            }
    return columns


def long_table(
    rows: list[Mapping],
    values: Iterable[str] = (
        "target_after",
        "source_after",
        "plasticity",
        "forgetting",
        "target_after_f1",
        "source_after_f1",
        "plasticity_f1",
        "forgetting_f1",
    ),
) -> list[dict]:
    """One row for each setting, method, target, n and value: mean, sd, low, high, count. The mean
    over targets comes last.
    """
    table_rows = []
    for value in values:
        groups = spread_by_group(
            [*rows, *average_over_targets(rows, value)], GROUP, lambda row, value=value: row[value]
        )
        table_rows += [
            dict(zip(GROUP, key, strict=True)) | {"value": value} | one.as_dict()
            for key, one in groups.items()
        ]
    return table_rows


def paired_differences(rows: list[Mapping]) -> list[dict]:
    """One row for each setting and ordered pair of methods: the paired differences of target and
    source accuracy after tuning.
    """
    table_rows = []
    for setting in dict.fromkeys(row["setting"] for row in rows):
        some = [row for row in rows if row["setting"] == setting]
        methods = list(dict.fromkeys(row["method"] for row in some))
        for one in methods:
            for other in methods:
                sides = (
                    {
                        side: paired_difference(
                            some, one, other, lambda row, side=side: row[f"{side}_after"]
                        )
                        for side in SIDES
                    }
                    if one != other
                    else {}
                )
                if sides and all(sides.values()):
                    table_rows.append(
                        {
                            "setting": setting,
                            "one": one,
                            "other": other,
                            "pairs": sides["target"].count,
                            "verdict": verdict(**sides),
                        }
                        | {
                            f"{side}_{name}": getattr(sides[side], name)
                            for side in SIDES
                            for name in ("mean", "low", "high")
                        }
                    )
    return table_rows


def verdict(target: Spread, source: Spread) -> str:
    """Whether one method is better than another on the frontier: an interval above 0 on one side,
    and none below 0. No verdict from few pairs.
    """
    if target.count < FEW:
        return f"fewer than {FEW} pairs"
    signs = {"target": target, "source": source}
    better, worse = (
        [name for name, one in signs.items() if test(one)]
        for test in (lambda one: one.low > 0, lambda one: one.high < 0)
    )
    if better and worse:
        return f"trades: {better[0]} better, {worse[0]} worse"
    if better or worse:
        return f"{'better' if better else 'worse'} on {' and '.join(better or worse)}"
    return "no difference beyond chance"


def mean_and_sd(one: Spread | None, sign: str = "±") -> str:
    """ ".547 ± .012" """
    if one is None:
        return ""
    mean = three_decimals(one.mean)
    return mean if one.sd is None else f"{mean} {sign} {three_decimals(one.sd)}"


def three_decimals(value: float, signed: bool = False) -> str:
    return f"{value:{'+' if signed else ''}.3f}".replace("0.", ".", 1)


def layout(
    rows: list[Mapping], setting: str
) -> tuple[list[tuple[str, int]], list[tuple[str, str, Spread, dict]]]:
    """Columns (method, n), by n; and rows (target, side, before, {column: spread over seeds})."""
    some = [row for row in rows if row["setting"] == setting]
    methods, sizes = (list(dict.fromkeys(row[key] for row in some)) for key in ("method", "n"))
    columns, lines = [(method, n) for n in sorted(sizes) for method in methods], []
    names = [*dict.fromkeys(row["target"] for row in some)]
    for side in SIDES:
        means = average_over_targets(some, f"{side}_after")
        # direct tuning starts from another model
        starts = [row for row in some if row["method"] != "direct"] or some
        for target in [*names, *([ALL_TARGETS] if len(names) > 1 and means else [])]:
            target_rows = [
                row for row in (means if target == ALL_TARGETS else some) if row["target"] == target
            ]
            spreads = spread_by_group(
                target_rows, ("method", "n"), lambda row, side=side: row[f"{side}_after"]
            )
            before = spread(
                row[f"{side}_before"] for row in starts if target in (ALL_TARGETS, row["target"])
            )
            lines.append((target, side, before, spreads))
    return columns, lines


def markdown(rows: list[Mapping], source: str) -> str:
    """A table for each setting and n, with targets and sides as rows and methods as columns; then
    the paired differences.
    """
    parts = []
    for setting in dict.fromkeys(row["setting"] for row in rows):
        columns, lines = layout(rows, setting)
        for n in dict.fromkeys(n for _, n in columns):
            methods = [method for method, size in columns if size == n]
            counts = sorted(
                {
                    one.count
                    for _, _, _, spreads in lines
                    for key, one in spreads.items()
                    if key[1] == n
                }
            )
            parts += [
                (
                    f"**{setting}, n = {n}** (mean ± standard deviation over"
                    f" {' or '.join(map(str, counts))} seeds; source: {source})"
                ),
                "",
                table(
                    ["target", "accuracy on", "before", *methods],
                    [
                        [
                            target,
                            side,
                            three_decimals(before.mean),
                            *(mean_and_sd(spreads.get((method, n))) for method in methods),
                        ]
                        for target, side, before, spreads in lines
                    ],
                ),
                "",
            ]
    compared = notable_pairs(paired_differences(rows))
    if compared:
        parts += [
            "Paired differences after tuning, over targets, n and seeds [95 % bootstrap interval]:",
            "",
            table(
                ["setting", "methods", "pairs", "target", "source", "verdict"],
                [
                    [
                        one["setting"],
                        f"{one['one']} − {one['other']}",
                        str(one["pairs"]),
                        *(interval_text(one, side) for side in SIDES),
                        one["verdict"],
                    ]
                    for one in compared
                ],
            ),
            "",
        ]
    return "\n".join(parts)


def interval_text(pair: Mapping, side: str) -> str:
    low, high = (three_decimals(pair[f"{side}_{end}"], True) for end in ("low", "high"))
    return f"{three_decimals(pair[f'{side}_mean'], True)} [{low}, {high}]"


def notable_pairs(compared: list[dict]) -> list[dict]:
    """Each method against full tuning, and advised and near-zero heads against the other choices of
    heads.
    """
    heads = ("circuit", "near_zero", "least", "random", "norms")
    return [
        one
        for one in compared
        if one["other"] == "full"
        or (one["one"] == "advised" and one["other"] in heads)
        or (one["one"] == "near_zero" and one["other"] in ("circuit", "random"))
        or (one["one"], one["other"]) == ("circuit", "random")
    ]


def table(header: list[str], lines: list[list[str]]) -> str:
    """A Markdown table; what could be Markdown or HTML in its cells is escaped."""
    shown = [[re.sub(MARKDOWN_SIGNS, r"\\\1", cell) for cell in line] for line in (header, *lines)]
    rule = ["---"] * len(header)
    return "\n".join("| " + " | ".join(line) + " |" for line in (shown[0], rule, *shown[1:]))


def latex(rows: list[Mapping]) -> str:
    """One `table*` for each setting, for a paper that loads booktabs."""
    parts = []
    for setting in dict.fromkeys(row["setting"] for row in rows):
        columns, lines = layout(rows, setting)
        sizes = list(dict.fromkeys(n for _, n in columns))
        methods = [method for method, n in columns if n == sizes[0]]
        heads = " & ".join(rf"\multicolumn{{{len(methods)}}}{{c}}{{$n={n}$}}" for n in sizes)
        names = " & ".join(escaped(method) for method, _ in columns)
        body = "\n".join(
            f"{escaped(target)} & {side} & {three_decimals(before.mean)} & "
            + " & ".join(mean_and_sd(spreads.get(column), r"$\pm$") for column in columns)
            + r" \\"
            for target, side, before, spreads in lines
        )
        parts.append(
            "\n".join(
                [
                    r"\begin{table*}\centering\small",
                    rf"\begin{{tabular}}{{ll{'r' * (1 + len(columns))}}}",
                    r"\toprule",
                    rf" & & & {heads} \\",
                    rf"target & accuracy & before & {names} \\",
                    r"\midrule",
                    body,
                    r"\bottomrule",
                    r"\end{tabular}",
                    (
                        rf"\caption{{{escaped(setting)}: accuracy, mean $\pm$ standard deviation"
                        r" over seeds.}"
                    ),
                    r"\end{table*}",
                ]
            )
        )
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    return text.replace("_", r"\_").replace("%", r"\%").replace("&", r"\&")


def as_csv(rows: list[Mapping]) -> str:
    """CSV with the columns of all rows, in the order of their first appearance; "" for no rows."""
    return csv_text(dict.fromkeys(key for row in rows for key in row), rows) if rows else ""
