"""The validation report as tables of text, for the shell."""

from collections.abc import Mapping

from ctsft.circuit.checks import REFERENCE
from ctsft.circuit.circuit_areas import AREAS, verdict
from ctsft.circuit.template_report import template_tables
from ctsft.circuit.validation import MEASURES
from ctsft.utils.csv_text import csv_text
from ctsft.utils.text_table import aligned, number


def table(report: dict) -> str:
    """A report, as `Validation.as_json` returns it; it may be incomplete, or of templates only."""
    if not report.get("agreement"):
        return "\n".join(template_tables(report["templates"])).lstrip()
    lines = [*agreement_table(report), "", "Mean score by layer", *layer_table(report)]
    lines += faithfulness_tables(report)
    if report["stability"]:
        lines += stability_table(report)
    if report.get("templates"):
        lines += template_tables(report["templates"])
    return "\n".join(lines)


def agreement_table(report: dict) -> list[str]:
    tops = [row["k"] for row in report["agreement"][REFERENCE]["overlap"]]
    titles = [area.upper() for area in AREAS] if report.get("areas") else []
    rows = [["method", "Spearman", *(f"top {k}" for k in tops), *titles, "cost", "seconds"]]
    for name, row in report["agreement"].items():
        overlap = [f"{top['common']} of {top['k']}" for top in row["overlap"]]
        cost = [f"{row['passes']:.1f}", f"{row['seconds']:.2f}"]
        areas = list(area_texts(report, name).values())
        rows.append([name, number(row["spearman"]), *overlap, *areas, *cost])
    title = (
        f"Agreement with mean ablation: {report['examples']} texts,"
        f" {report['n_layers'] * report['n_heads']} heads; cost in plain forward passes over these"
        " texts"
    )
    return [title, *aligned(rows), *area_lines(report)]


def areas_of(report: Mapping, method: str) -> Mapping[str, Mapping]:
    """{area: {value, low, high}} of a ranking; {} in a report without areas."""
    areas = report.get("areas") or {"methods": {}}
    return areas["methods"].get(method, {})


def area_texts(report: Mapping, method: str) -> dict[str, str]:
    """{title: CPR or CMD of a ranking with its interval}; {} in a report without them."""
    return {area.upper(): interval_text(of) for area, of in areas_of(report, method).items()}


def interval_text(of: Mapping) -> str:
    if None in (of["value"], of["low"], of["high"]):
        return "undefined"
    return f"{of['value']:.2f} ({of['low']:.2f} to {of['high']:.2f})"


def area_lines(report: Mapping) -> list[str]:
    """What CPR and CMD are, those of random circuits, and which ranking to trust; [] without
    them.
    """
    areas = report.get("areas")
    if not areas:
        return []
    lines = [
        "CPR: area under faithfulness by margin over the share of heads (higher is better); CMD:"
        f" area under its distance from 1 (lower is better); {report['rows']} unseen rows,"
        f" {areas['level']:.0%} bootstrap intervals over them"
    ]
    if areas["random"]:
        cpr, cmd = (number(areas["random"][area]) for area in AREAS)
        lines.append(f"Random circuits: CPR {cpr}, CMD {cmd}")
    return [*lines, *filter(None, [verdict(areas)])]


def csv_rows(report: Mapping) -> list[dict]:
    """One row a method: agreement with mean ablation, CPR and CMD with their intervals, cost."""
    rows = []
    for name, agreement in report["agreement"].items():
        row = {"method": name, "spearman": agreement["spearman"]}
        row |= {f"top_{top['k']}_in_common": top["common"] for top in agreement["overlap"]}
        for area, of in areas_of(report, name).items():
            row |= {area: of["value"], f"{area}_low": of["low"], f"{area}_high": of["high"]}
        rows.append(row | {"passes": agreement["passes"], "seconds": agreement["seconds"]})
    return rows


def csv(report: Mapping) -> str:
    """`csv_rows` as the text of a CSV file."""
    rows = csv_rows(report)
    return csv_text(dict.fromkeys(key for row in rows for key in row), rows)


def layer_table(report: dict) -> list[str]:
    by_method = report["agreement"]
    rows = [["layer", *by_method]]
    for layer in range(report["n_layers"]):
        rows.append([str(layer), *(number(row["layers"][layer]) for row in by_method.values())])
    return aligned(rows)


def faithfulness_tables(report: dict) -> list[str]:
    """A table for each measure, and the share of random circuits that are less faithful; only the
    sizes that every method has.
    """
    names = list(report["agreement"])
    bands = {row["size"]: row for row in report["random"]}
    points = {(row["size"], row["method"]): row for row in report["curves"]}
    sizes = [
        size
        for size in dict.fromkeys(size for size, _ in points)
        if all((size, name) in points for name in names)
    ]
    if not sizes:
        return []
    lines = []
    for measure in MEASURES:
        rows = [["heads", "random", *names]]
        for size in sizes:
            values = [number(points[size, name][measure]) for name in names]
            rows.append([str(size), band_text(bands.get(size, {}).get(measure)), *values])
        title = (
            f"Faithfulness by {measure} on {report['rows']} unseen rows: random circuits (5th to"
            " 95th percentile), each ranking's first heads"
        )
        lines += ["", title, *aligned(rows)]
    if bands:
        rows = [["heads", *names]]
        for size in sizes:
            if size in bands:
                rows.append([str(size), *(number(points[size, name]["beats"]) for name in names)])
        title = "Share of the random circuits that are less faithful by margin"
        lines += ["", title, *aligned(rows)]
    return lines


def stability_table(report: dict) -> list[str]:
    first = next(iter(report["stability"].values()))
    rows = [["method", f"top {first['k']} Jaccard", "pairs with the same first head"]]
    for name, row in report["stability"].items():
        rows.append([name, number(row["jaccard"]), number(row["top1"])])
    title = (
        f"Stability over {first['pools']} discovery sets, which share"
        f" {number(first['texts_jaccard'])} of their texts (Jaccard)"
    )
    return ["", title, *aligned(rows)]


def band_text(band: dict | None) -> str:
    if band is None:
        return ""
    return f"{number(band['mean'])} ({number(band['low'])} to {number(band['high'])})"
