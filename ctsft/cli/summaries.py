"""The summaries of finished jobs as text for the shell, one function for each kind of request."""

from collections.abc import Callable

from ctsft import runs

NEAREST = 8  # positions of a head that are printed
NAMED = 8  # heads of a role


def score(summary: dict) -> str:
    first = summary["heads"][:10]
    # scores that are one for the whole pool have no error
    errors = [f" ± {row['stderr']:.4f}" if row["stderr"] else "" for row in first]
    rows = [
        f"L{row['layer']}.H{row['head']:<3} {row['score']:+.4f}{error}"
        for row, error in zip(first, errors, strict=True)
    ]
    title = f"{summary['method']} on {summary['examples']} examples, the ten most relevant heads:"
    return "\n".join([title, *rows, *by_position(summary), *roles(summary), *summary["notes"]])


def roles(summary: dict) -> list[str]:
    """A line for each role with its clearest heads."""
    heads_by_role = summary.get("roles")
    if not heads_by_role:
        return []
    lines = [
        f"roles, from gates learned in {heads_by_role['passes']} forward passes (all in roles.csv):"
    ]
    for role in ("facilitating", "interfering", "irrelevant"):
        names = heads_by_role[role]
        more = ", ..." if len(names) > NAMED else ""
        lines.append(f"{role:<13}{len(names):4d}  {', '.join(names[:NAMED])}{more}")
    return lines


def by_position(summary: dict) -> list[str]:
    """A line for each head: its mean score at the last positions, counted from the readout."""
    scores = summary.get("by_position")
    if not scores:
        return []
    offsets = scores["offsets"]
    shown = sorted(sorted(range(len(offsets)), key=lambda i: abs(offsets[i]))[:NEAREST])
    columns = "".join(f"{offsets[i]:+9d}" for i in shown)
    lines = ["by position, 0 is the readout (all in positions.csv):", f"{'head':<9}{columns}"]
    for name, values in zip(scores["heads"], scores["values"], strict=True):
        lines.append(f"{name:<9}" + "".join(f"{values[i]:+9.4f}" for i in shown))
    return lines


def discover(summary: dict) -> str:
    rows = [f"L{row['layer']}.H{row['head']:<3} {row['why']}" for row in summary["heads"]]
    return "\n".join([f"{len(rows)} heads:", *rows, *summary["notes"]])


def faithfulness(summary: dict) -> str:
    if "points" not in summary:
        return (
            f"faithfulness {ratio(summary['accuracy'])} by accuracy, {ratio(summary['margin'])} by"
            f" margin ({summary['rows']} rows)"
        )
    return "\n".join(
        f"{row['size']:4d} heads  {ratio(row['accuracy'])} by accuracy  {ratio(row['margin'])} by"
        " margin"
        for row in summary["points"]
        if row["kind"] == "ranked"
    )


def surrogate(summary: dict) -> str:
    """How well circuits were predicted that the fit did not see, and where the file is."""
    lines = [
        f"{summary['circuits']} circuits measured on {summary['rows']} rows"
        + (", stopped early" if summary["stopped"] else "")
    ]
    for measure, of in summary["held_out"].items():
        lines.append(
            f"by {measure}: mean absolute error {of['error']:.3f} and R2 {ratio(of['r2'])} on"
            f" {of['circuits']} circuits near a ranking, each predicted from the others"
        )
    if not summary["held_out"]:
        lines.append(ratio(None))
    return "\n".join([*lines, str(runs.get(summary["run"]).file("surrogate.safetensors"))])


def ratio(value: float | None) -> str:
    return "undefined (the full and the empty model agree)" if value is None else f"{value:.3f}"


def validate(summary: dict) -> str:
    from ctsft.circuit.validation_report import table  # torch: not for --help

    return table(summary) + ("\nstopped early" if summary["stopped"] else "")


def advise(summary: dict) -> str:
    rows = [
        f"L{row['layer']}.H{row['head']:<5} {row['value']:8.4g}  {row['gradient']:8.4g} "
        f" {row['fisher']:8.4g}"
        for row in summary["heads"][: summary["k"]]
    ]
    command = (
        f"use it: finetune --target {summary['target']} --what advised --advice {summary['run']}"
        f" --k {summary['k']}"
    )
    return "\n".join(["head      value   gradient  source Fisher", *rows, command])


def finetune(summary: dict) -> str:
    share = (
        f"{summary['trainable']:,} of {summary['total']:,} parameters trained"
        f" ({summary['trainable'] / summary['total']:.2%}), {summary['changed']:,} of them changed"
    )
    title = f"{summary['what']}: {share}{', stopped early' if summary['stopped'] else ''}"
    lines = [title, *figures(summary)]
    if summary.get("perplexity"):
        lines.append(perplexity(summary["perplexity"]))
    lines += summary["notes"]
    if summary.get("outside"):
        lines.append(summary["outside"]["text"])
    if summary.get("shares"):
        lines.append(shares(summary["shares"]))
    return "\n".join(lines)


def figures(summary: dict) -> list[str]:
    """Each language before and after tuning, on the rows of the final figure: accuracies, texts
    lost and won, and p of the exact McNemar test, adjusted over the languages (Holm).
    """
    from ctsft.runs.answers import ends, read_answers  # scipy: not for --help
    from ctsft.utils.paired_rows import change
    from ctsft.utils.statistics import holm

    before, after = ends(summary)
    answers = read_answers(summary)
    tests = {name: change(of.before, of.after) for name, of in answers.items()}
    adjusted = dict(zip(tests, holm([test.p for test in tests.values()]), strict=True))
    lines = []
    for name in before:
        line = f"{name:14} {before[name]['accuracy']:.3f} -> {after[name]['accuracy']:.3f}"
        if name in tests:
            test = tests[name]
            line += f", {test.lost} texts lost, {test.won} won (p = {adjusted[name]:.2g})"
        lines.append(line)
    if tests:
        size = " and ".join(map(str, sorted({len(of.ids) for of in answers.values()})))
        split = next(iter(answers.values())).split
        lines.append(
            f"Measured on {size} {split} rows of each language; p of exact McNemar tests on the"
            " same rows, adjusted (Holm)."
        )
    return lines


def perplexity(of: dict) -> str:
    return (
        f"perplexity of {of['texts']}: {of['before']:.2f} -> {of['after']:.2f} ({of['rows']} texts,"
        f" {of['tokens']:,} tokens)"
    )


def shares(measured: dict) -> str:
    """A table of the shares of a change and the accuracies that they have."""
    names = list(measured["rows"])
    lines = [
        f"share of the change, {measured['split']} rows: " + "  ".join(names),
        *(
            f"  {point['share']:.1f}  "
            + "  ".join(f"{point['accuracy'][name]:.3f}".ljust(len(name)) for name in names)
            for point in measured["points"]
        ),
    ]
    return "\n".join(line.rstrip() for line in lines)


def rescore(summary: dict) -> str:
    names = {
        key: " ".join(f"L{layer}.H{head}" for layer, head in summary[key]) or "none"
        for key in ("stayed", "left", "came")
    }
    rho = "undefined" if summary["spearman"] is None else f"{summary['spearman']:.3f}"
    return (
        f"{len(summary['stayed'])} of the {summary['k']} top heads stayed ({names['stayed']});"
        f" left: {names['left']}; came: {names['came']}\nrank correlation before and after: {rho};"
        f" the tuned model predicts {summary['right']:.0%} of the {summary['examples']} examples"
        " correctly"
    )


def undo(summary: dict) -> str:
    names = " ".join(f"L{layer}.H{head}" for layer, head in summary["heads"]) or "none"
    share = summary["undone"] / summary["trained"]
    lines = [f"undone: {names} ({share:.1%} of what was trained)"]
    path = summary["paths"].get("cheapest") or summary["paths"]["named"]
    count = len(summary["heads"])
    chosen = next(point for point in path if point["heads"] == count)
    measured = {
        summary["split"]: (summary["before"], path[0]["accuracy"], chosen["accuracy"]),
    }
    if final := summary.get("final"):
        measured[final["split"]] = (final["before"], final["tuned"], final["undone"])
    for split, figures in measured.items():
        for language in dict.fromkeys((summary["source"], summary["target"])):
            before, tuned, after = (figure[language] for figure in figures)
            lines.append(
                f"{language:14} {split} rows: {before:.3f} before, {tuned:.3f} tuned, {after:.3f}"
                " with these heads undone"
            )
    delta = runs.get(summary["run"]).file("delta.safetensors")
    return "\n".join([*lines, str(delta)])


def experiment(summary: dict) -> str:
    table = runs.get(summary["run"]).file("table.md").read_text(encoding="utf-8")
    failed = [
        f"failed: {one['cell']['method']} {one['cell']['target']} seed {one['cell']['seed']}:"
        f" {one['error']}"
        for one in summary["failed"]
    ]
    return "\n".join([table, f"{summary['cells']} of {summary['of']} trials", *failed])


def export(summary: dict) -> str:
    return summary["folder"]


TEXTS: dict[str, Callable[[dict], str]] = {
    "score": score,
    "discover": discover,
    "faithfulness": faithfulness,
    "surrogate": surrogate,
    "validate": validate,
    "advise": advise,
    "finetune": finetune,
    "rescore": rescore,
    "experiment": experiment,
    "export": export,
    "undo": undo,
}
