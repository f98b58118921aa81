"""A session's view as the query of an address, and back: which fields an address carries, and which
values each may have; no streamlit.

Only fields that differ from their defaults are written, so that a link is short. Reading never
raises: a value that is not valid is reported in a few words, and the other fields still count.
"""

from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from typing import NamedTuple, get_args
from urllib.parse import quote, unquote

from ctsft.attribution.method_names import NAMES
from ctsft.attribution.score_config import CHOICES
from ctsft.data.sources import SPLITS
from ctsft.utils.format import Head, head_name
from explorer.session.page_choices import Compare, Experiment, Tune
from explorer.session.rule_order import SMALLEST_SHARE
from explorer.session.view import View

MAX_LENGTH = 20_000  # characters of one value: enough for every head of a large model
NAMED_HEADS = 6  # heads that a message lists by name
Parser = Callable[[str], object]


class LinkField(NamedTuple):
    """How a parameter of a link is read: the view's field, the parser of its text, and what a
    message says was expected.
    """

    field: str
    parse: Parser
    expected: str = ""


def integer(low: int, high: int) -> Parser:
    return lambda text: between(int(text), low, high)


def real(low: float, high: float) -> Parser:
    return lambda text: between(float(text), low, high)


def between(value, low, high):
    if not low <= value <= high:
        raise ValueError(f"{low:g} to {high:g}")
    return value


def one_of(*choices: str) -> Parser:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(", ".join(choices))
        return text

    return parse


def flag(text: str) -> bool:
    return one_of("0", "1")(text) == "1"


def head(text: str) -> Head:
    layer, index = (between(int(part), 0, 10_000) for part in text.split("."))
    return layer, index


def heads(text: str) -> frozenset[Head]:
    return frozenset(map(head, text.split("_")))


def many(one: Parser) -> Parser:
    """Several values, joined by ","; an empty text is none."""
    return lambda text: [one(unquote(part)) for part in text.split(",") if part]


# the names of the parameters never change: old links keep working
FIELDS: dict[str, LinkField] = {
    "source": LinkField("source", str),
    "target": LinkField("target", str),
    "rows": LinkField("split", one_of(*SPLITS), "a split"),
    "n": LinkField("size", integer(1, 2000), "a whole number from 1 to 2000"),
    "seed": LinkField("pool_seed", integer(0, 10**6), "a whole number"),
    "method": LinkField("method", one_of(*NAMES), "a scoring method"),
    "attention": LinkField("attention", one_of(*CHOICES["attention"]), "softmax or frozen"),
    "rules": LinkField("rules", one_of(*CHOICES["rules"]), "paper or symmetric"),
    "positions": LinkField("positions", one_of("all", "readout"), "all or readout"),
    "head": LinkField("head", head, "layer.head"),
    "flip": LinkField("flip", flag, "0 or 1"),
    "map": LinkField("map_scores", one_of("method", "removal"), "method or removal"),
    "colours": LinkField("by_layer", flag, "0 or 1"),
    "section": LinkField("section", str),
    "panel": LinkField("panel", str),
    "example": LinkField("example", integer(0, 2000), "a whole number"),
    "text": LinkField("own_text", str),
    "rule": LinkField("rule", str, "a rule"),
    "k": LinkField("k", integer(0, 10**6), "a whole number"),
    "share": LinkField("fraction", real(SMALLEST_SHARE, 1), "a number from 0.0001 to 1"),
    # which rows the advice is computed from
    "labelled": LinkField("n", integer(1, 10**6), "a whole number"),
    "order": LinkField("tune_seed", integer(0, 2**31 - 1), "a whole number"),
    "level": LinkField("threshold_level", real(0, 1), "a number from 0 to 1"),
    "draw": LinkField("random_seed", integer(0, 10**6), "a whole number"),
    "add": LinkField("added", heads, "heads, such as 0.1_2.3"),
    "out": LinkField("removed", heads, "heads, such as 0.1_2.3"),
    "show": LinkField("circuit_panel", str),
    "depth": LinkField("depth", integer(0, 10), "0 to 10"),
    "each": LinkField("each", real(0.01, 0.5), "a number from 0.01 to 0.5"),
    "edge": LinkField("min_edge", real(0, 1), "a number from 0 to 1"),
}

# fields that only the address of a page carries, under their own names; a list of a page that has
# become shorter is repaired by that page
BY_NAME = (
    *(
        "pinned",
        "preview_languages",
        "accuracy_languages",
        "comparison",
        "head_view",
        "compared_method",
    ),
    *("compared_language", "compared_size", "compared_run", "advice_map", "side_by_side"),
    *("overlap_circuits", "measure", "n_random", "file_name", "present"),
    *(one.name for part in (Tune, Experiment, Compare) for one in fields(part)),
)


def entry_of(field: Field) -> LinkField:
    """The entry of a field of `BY_NAME`, by its type and limits."""
    limits, kind = field.metadata, field.type
    if "options" in limits:
        options = ", ".join(filter(None, limits["options"]))
        return LinkField(field.name, one_of(*limits["options"]), f"one of {options}")
    if kind is bool:
        return LinkField(field.name, flag, "0 or 1")
    if kind in (int, float):
        low, high = limits["low"], limits["high"]
        expected = f"a number from {low:g} to {high:g}"
        return LinkField(field.name, (integer if kind is int else real)(low, high), expected)
    if kind is str:
        return LinkField(field.name, str)
    return LinkField(field.name, many(*get_args(kind)), "values joined by commas")


FIELDS |= {
    field.name.replace("_", "-"): entry_of(field)
    for field in fields(View)
    if field.name in BY_NAME and field.name not in {entry.field for entry in FIELDS.values()}
}

# values that older links may hold, and their current names
RENAMED = {("circuit_panel", "Kept circuits"): "Saved circuits"}

# parameters that name something on this machine; whoever opens the link checks them
NAMES = {"model": "model", "task": "task", "data": "data_dir"}
DISCOVERY_RUN = "found"  # the parameter that names the run of a discovered circuit


def write(view: View) -> dict[str, str]:
    """The parameters of a link to a view. A discovered circuit is written as the name of its run
    or, if it came from a file, as its heads.
    """
    default, query = View(), {}
    fields = NAMES | {parameter: entry.field for parameter, entry in FIELDS.items()}
    for parameter, field in fields.items():
        value = getattr(view, field)
        # another task has other default languages
        always = field in ("source", "target") and view.task != default.task
        if always or value != getattr(default, field):
            query[parameter] = text_of(value)
    if view.rule != "discover" or view.discovered is None:
        return query
    run = view.discovered.rule.get("run")
    if run:
        return query | {DISCOVERY_RUN: run}
    query = {name: text for name, text in query.items() if name not in ("add", "out")}
    remaining = (view.discovered.heads | view.added) - view.removed
    return query | {"rule": "none"} | ({"add": text_of(remaining)} if remaining else {})


def text_of(value) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, frozenset):
        return "_".join(f"{layer}.{index}" for layer, index in sorted(value))
    if isinstance(value, tuple):
        return f"{value[0]}.{value[1]}"
    if isinstance(value, list):
        return ",".join(quote(str(one), safe="") for one in value)
    return str(value)


def read(
    query: Mapping[str, str], choices: Mapping[str, tuple[str, ...]]
) -> tuple[dict, list[str]]:
    """The view's fields that a link sets, and a message for each parameter that is not valid.

    `choices`: the values of fields that may be one of a few texts.
    """
    fields, problems = {}, []
    for parameter, text in query.items():
        if parameter in (*NAMES, DISCOVERY_RUN):
            continue
        if parameter not in FIELDS:
            problems.append(f"{parameter!r:.40}, which is not part of a link")
            continue
        field, parse, expected = FIELDS[parameter]
        try:
            if len(text) > MAX_LENGTH:
                raise ValueError
            value = RENAMED.get((field, text), parse(text))
        except (ValueError, TypeError, OverflowError):
            problems.append(f"{parameter} {text!r:.40} (expected {expected})")
            continue
        if field in choices and value not in choices[field]:
            expected = ", ".join(choices[field])
            problems.append(f"{parameter} {text!r:.40} (expected one of {expected})")
        else:
            fields[field] = value
    return fields, problems


def within_model(fields: Mapping, n_layers: int, n_heads: int) -> tuple[dict, list[str]]:
    """The fields without the heads that a model of this shape does not have, and a message that
    names those.
    """

    def exists(at: Head) -> bool:
        return at[0] < n_layers and at[1] < n_heads

    within, missing = dict(fields), set()
    for field in ("added", "removed"):
        if field in fields:
            within[field] = frozenset(filter(exists, fields[field]))
            missing |= fields[field] - within[field]
    if "head" in fields and not exists(fields["head"]):
        missing.add(within.pop("head"))
    if not missing:
        return within, []
    names = ", ".join(map(head_name, sorted(missing)[:NAMED_HEADS]))
    more = " and more" if len(missing) > NAMED_HEADS else ""
    return within, [f"{names}{more} (the model has {n_layers} layers of {n_heads} heads)"]
