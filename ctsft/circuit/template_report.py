"""What head maps depend on, as tables of text and of rows."""

from collections.abc import Mapping

from ctsft.utils.text_table import aligned, number

# effect -> what differs between two maps
NAMES = {
    "same": "same in all maps",
    "template": "template",
    "language": "language",
    "template x language": "template x language",
    "pool": "pool of texts",
    "seed": "seed within a pool",
    "rest": "rest",
}


def share_rows(report: Mapping) -> list[dict]:
    """One row an effect: its share of the variance of head scores, in percent."""
    return [
        {
            "depends on": NAMES.get(name, name),
            "share (%)": scaled(of["value"]),
            "low": scaled(of["low"]),
            "high": scaled(of["high"]),
        }
        for name, of in report["shares"].items()
    ]


def scaled(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 1)


def overlap_rows(report: Mapping) -> list[dict]:
    """One row a thing in which two circuits differ: their overlap, and that minus chance."""
    return [
        {
            "maps differ in": NAMES.get(name, name),
            "Jaccard": of["jaccard"],
            "minus chance": of["above"],
            "low": of["low"],
            "high": of["high"],
            "texts in common": of["texts"],
            "pairs": of["pairs"],
        }
        for name, of in report["overlap"].items()
    ]


def setting(report: Mapping) -> str:
    """What was compared, in a sentence."""
    languages = report["languages"]
    counts = (
        f"{len(report['templates'])} templates, {counted(len(languages), 'language')}"
        f" ({', '.join(languages)}), {counted(report['pools'], 'pool')},"
        f" {counted(report['seeds'], 'seed')}"
    )
    return f"Head maps by {report['method']} on {report['size']} texts each: {counts}"


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def finding(report: Mapping) -> str:
    """What matters most to a map, in a sentence computed from the shares; "" without a factor."""
    factors = {
        name: of["value"]
        for name, of in report["shares"].items()
        if name not in ("same", "rest") and of["value"] is not None
    }
    same = report["shares"].get("same", {}).get("value")
    if not factors or same is None:
        return ""
    first = max(factors, key=factors.get)
    return (
        f"{same:.0%} of the variance of head scores is the same in all maps; of what was varied,"
        f" {NAMES.get(first, first)} matters most ({factors[first]:.0%})."
    )


def template_tables(report: Mapping) -> list[str]:
    """Both tables as lines for the shell."""
    rows = [["depends on", "share of variance"]]
    for name, of in report["shares"].items():
        rows.append([NAMES.get(name, name), interval_text(of["value"], of["low"], of["high"])])
    lines = ["", setting(report), *aligned(rows)]
    if report["overlap"]:
        title = (
            f"Overlap of the first {report['k']} heads (Jaccard; chance {report['chance']:.3f}) of"
            " two maps that differ in"
        )
        rows = [["", "Jaccard", "minus chance", "texts in common"]]
        for name, of in report["overlap"].items():
            above = interval_text(of["above"], of["low"], of["high"])
            rows.append([NAMES.get(name, name), number(of["jaccard"]), above, number(of["texts"])])
        lines += ["", title, *aligned(rows)]
    return [*lines, *filter(None, [finding(report)])]


def interval_text(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "undefined"
    return f"{value:.3f}" if None in (low, high) else f"{value:.3f} ({low:.3f} to {high:.3f})"
