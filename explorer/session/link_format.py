"""A view as the words of a link, and back: which fields a link carries, and what each may say; no
streamlit.

Only fields that differ from their defaults are written, so that a link is short. Reading never
raises: what a field may not say is told in a few words, and the other fields count.
"""

from collections.abc import Callable, Mapping

from ctsft.attribution.methods import METHODS
from ctsft.attribution.scores import CHOICES, Head
from ctsft.data.sources import SPLITS
from ctsft.utils.format import head_name
from explorer.session.view import View

# letters of one word: every head of a large model
LONGEST = 20_000
Reader = Callable[[str], object]


def whole(low: int, high: int) -> Reader:
    return lambda text: between(int(text), low, high)


def real(low: float, high: float) -> Reader:
    return lambda text: between(float(text), low, high)


def between(value, low, high):
    if not low <= value <= high:
        raise ValueError(f"{low:g} to {high:g}")
    return value


def one_of(*choices: str) -> Reader:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(", ".join(choices))
        return text

    return read


def flag(text: str) -> bool:
    return one_of("0", "1")(text) == "1"


def words(text: str) -> str:
    return text


def head(text: str) -> Head:
    layer, number = (between(int(part), 0, 10_000) for part in text.split("."))
    return layer, number


def heads(text: str) -> frozenset[Head]:
    return frozenset(map(head, text.split("_")))


# the word in the link -> the view's field, how it is read, what was expected
FIELDS: dict[str, tuple[str, Reader, str]] = {
    "source": ("source", words, ""),
    "target": ("target", words, ""),
    "rows": ("split", one_of(*SPLITS), "a split"),
    "n": ("size", whole(1, 2000), "a whole number from 1 to 2000"),
    "seed": ("pool_seed", whole(0, 10**6), "a whole number"),
    "method": ("method", one_of(*METHODS), "a scoring method"),
    "attention": ("attention", one_of(*CHOICES["attention"]), "softmax or frozen"),
    "rules": ("rules", one_of(*CHOICES["rules"]), "paper or symmetric"),
    "positions": ("positions", one_of("all", "readout"), "all or readout"),
    "head": ("head", head, "layer.head"),
    "flip": ("flip", flag, "0 or 1"),
    "panel": ("panel", words, ""),
    "example": ("example", whole(0, 2000), "a whole number"),
    "rule": ("rule", words, "a rule"),
    "k": ("k", whole(0, 10**6), "a whole number"),
    "share": ("fraction", real(0.01, 1), "a number from 0.01 to 1"),
    # which rows advice saw
    "labelled": ("n", whole(1, 10**6), "a whole number"),
    "order": ("tune_seed", whole(0, 2**31 - 1), "a whole number"),
    "level": ("threshold_level", real(0, 1), "a number from 0 to 1"),
    "draw": ("random_seed", whole(0, 10**6), "a whole number"),
    "add": ("added", heads, "heads, such as 0.1_2.3"),
    "out": ("removed", heads, "heads, such as 0.1_2.3"),
    "show": ("circuit_panel", words, ""),
    "depth": ("depth", whole(0, 10), "0 to 10"),
    "each": ("each", real(0.01, 0.5), "a number from 0.01 to 0.5"),
    "edge": ("min_edge", real(0, 1), "a number from 0 to 1"),
}

NAMES = ("model", "task", "data")  # checked against what was opened here before


def written(view: View) -> dict[str, str]:
    """The words of a link to a view. A discovered circuit is named by its run, or where it came
    from a file by its heads.
    """
    fresh, found = View(), {}
    for word, field in (
        ("model", "model"),
        ("task", "task"),
        ("data", "data_dir"),
        *((word, field) for word, (field, *_) in FIELDS.items()),
    ):
        value = getattr(view, field)
        if value != getattr(fresh, field) or (
            field in ("source", "target") and view.task != fresh.task
        ):
            # another task has its own
            found[word] = text_of(value)
    if view.rule == "discover" and view.discovered is not None:
        run = view.discovered.rule.get("run")
        by_hand = (view.discovered.heads | view.added) - view.removed
        found |= (
            {"found": run}
            if run
            else {"rule": "none", "add": text_of(by_hand)}
            if by_hand
            else {"rule": "none"}
        )
        if not run:
            found.pop("out", None)
    return found


def text_of(value) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, frozenset):
        return "_".join(f"{layer}.{number}" for layer, number in sorted(value))
    return f"{value[0]}.{value[1]}" if isinstance(value, tuple) else str(value)


def read(
    given: Mapping[str, str], choices: Mapping[str, tuple[str, ...]]
) -> tuple[dict, list[str]]:
    """The view's fields that a link sets, and what is wrong with the others. `choices`: what fields
    of free words may say.
    """
    found, wrong = {}, []
    for word, text in given.items():
        if word in (*NAMES, "found"):
            continue
        if word not in FIELDS:
            wrong.append(f"{word!r:.40}, which is no part of a link")
            continue
        field, reader, expected = FIELDS[word]
        try:
            if len(text) > LONGEST:
                raise ValueError
            value = reader(text)
        except (ValueError, TypeError, OverflowError):
            wrong.append(f"{word} {text!r:.40} ({expected} was expected)")
            continue
        if field in choices and value not in choices[field]:
            wrong.append(f"{word} {text!r:.40} (expected one of {', '.join(choices[field])})")
        else:
            found[field] = value
    return found, wrong


def beyond(found: dict, layers: int, n_heads: int) -> list[str]:
    """Takes the heads that a model of this shape lacks out of `found`, and names them."""
    lacking: set[Head] = set()
    for field in ("added", "removed"):
        if field in found:
            outside = {at for at in found[field] if not (at[0] < layers and at[1] < n_heads)}
            lacking |= outside
            found[field] -= outside
    if "head" in found and not (found["head"][0] < layers and found["head"][1] < n_heads):
        lacking.add(found.pop("head"))
    names = [head_name(at) for at in sorted(lacking)]
    more = " and more" if len(names) > 6 else ""
    return (
        [f"{', '.join(names[:6])}{more} (the model has {layers} layers of {n_heads} heads)"]
        if names
        else []
    )
