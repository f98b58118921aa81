"""The results of an experiment as tables: the layout of Table 4 of CT-SFT (arXiv 2601.08146; rows
are targets, columns are methods by n, for target and source accuracy), and paired differences.

The input is a flat row for each trial (`trial_row`): setting, method, target, n, seed,
learning_rate, {source,target}_{before,after}, forgetting, plasticity, and the same with the ending
`_f1` for macro-F1. Figures are means and standard deviations over seeds; intervals are at 95 % by
Student's t, over languages where there are three, else over seeds (`utils.statistics`).
"""

import re
from collections.abc import Collection, Iterable, Mapping

from ctsft.experiment import related_abilities
from ctsft.experiment.method_differences import (
    SIDES,
    notable_pairs,
    paired_differences,
)
from ctsft.experiment.row_differences import on_these_languages
from ctsft.jobs.experiment_design import Trial
from ctsft.utils.csv_text import csv_text
from ctsft.utils.statistics import (
    ALL_TARGETS,
    FEWEST,
    Spread,
    average_over_targets,
    spread,
    spread_by_group,
)

GROUP = ("setting", "method", "target", "n")


DIFFERENCES = (
    "Means over n and seeds within each language, then over languages [95 % interval by Student's t"
    " over languages, or over seeds where there are fewer than three languages]; verdicts by Holm"
    " over all differences of this table"
)
ROW_DIFFERENCES = (
    "The last three columns speak of these languages only [95 % interval by a bootstrap over rows"
    " and seeds together, a row of several languages drawn in all of them; three seeds or more];"
    " verdicts by Holm over all of them"
)
ROW_HEAD = ["target, these languages", "source, these languages", "verdict, these languages"]
NESTED = ("shares", "answers")  # of a row: lists that no table holds
DIFFERENCE_HEAD = ["setting", "methods", "over", "target", "source", "verdict"]
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
    for when, texts in (row.get("perplexity") or {}).items():
        columns |= {f"perplexity_{when}": of["perplexity"] for of in texts.values()}
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


def markdown(rows: list[Mapping], source: str, chosen_on: Collection[str] = ()) -> str:
    """A table for each setting and n, with targets and sides as rows and methods as columns; then
    the paired differences, and those over the targets without `chosen_on`, on which learning rates
    were chosen.
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
    head, lines = related_abilities.difference_table(rows)
    if lines:
        parts += [f"{related_abilities.TITLE}:", "", table(head, lines), ""]
    parts += differences("Paired differences after tuning", rows)
    others = [row for row in rows if row["target"] not in chosen_on]
    if chosen_on and len({row["target"] for row in others}) >= FEWEST:
        names = ", ".join(dict.fromkeys(row["target"] for row in others))
        title = (
            f"Paired differences on the languages on which no learning rate was chosen ({names})"
        )
        parts += differences(title, others)
    return "\n".join(parts)


def differences(title: str, rows: list[Mapping]) -> list[str]:
    """Lines of Markdown: a title and the table of differences; [] where nothing is compared."""
    compared = on_these_languages(notable_pairs(paired_differences(rows)), rows)
    if not compared:
        return []
    head, lines = difference_table(compared)
    more = f" {ROW_DIFFERENCES}." if ROW_HEAD[0] in head else ""
    title = f"{title}. {DIFFERENCES}"
    return [f"{title}.{more}" if more else f"{title}:", "", table(head, lines), ""]


def difference_cells(pair: Mapping) -> list[str]:
    """A line of the table of differences, under `DIFFERENCE_HEAD`."""
    return [
        pair["setting"],
        f"{pair['one']} − {pair['other']}",
        f"{pair['count']} {pair['unit'].removesuffix('s') if pair['count'] == 1 else pair['unit']}",
        *(interval_text(pair, side) for side in SIDES),
        pair["verdict"],
    ]


def difference_table(compared: list[Mapping]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the differences; with those over rows and seeds where a pair has them
    (`row_differences.on_these_languages`).
    """
    lines = list(map(difference_cells, compared))
    if not any(pair.get("rows_verdict") for pair in compared):
        return DIFFERENCE_HEAD, lines
    for pair, line in zip(compared, lines, strict=True):
        of_sides = {side: pair[f"{side}_rows"] for side in SIDES}
        ends = ("mean", "low", "high")
        named = {
            f"{side}_{end}": getattr(of, end) for side, of in of_sides.items() if of for end in ends
        }
        line += [interval_text(named, side) if of else "" for side, of in of_sides.items()]
        line.append(pair["rows_verdict"])
    return [*DIFFERENCE_HEAD, *ROW_HEAD], lines


def interval_text(pair: Mapping, side: str) -> str:
    """ "+.024 [-.008, +.055]", without an interval where there is none."""
    if pair[f"{side}_low"] is None:
        return three_decimals(pair[f"{side}_mean"], True)
    low, high = (three_decimals(pair[f"{side}_{end}"], True) for end in ("low", "high"))
    return f"{three_decimals(pair[f'{side}_mean'], True)} [{low}, {high}]"


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
    """CSV with the columns of all rows, in the order of their first appearance, without what is
    `NESTED`; "" for no rows.
    """
    return csv_text(dict.fromkeys(key for row in rows for key in flat(row)), rows) if rows else ""


def flat(row: Mapping) -> dict:
    """A row without what is `NESTED`."""
    return {key: value for key, value in row.items() if key not in NESTED}
