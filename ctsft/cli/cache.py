"""The shell's command for the cache: list and clear."""

import json
import time
from typing import Annotated

import typer
from tqdm import tqdm

from ctsft.cache import store
from ctsft.cli.app import AsJson, app
from ctsft.utils.errors import UserError


@app.command("cache")
def list_or_clear(
    action: Annotated[str, typer.Argument(help="list or clear.")] = "list",
    kind: Annotated[
        str, typer.Argument(metavar="[KIND]", help="scores, means or pools; default: all.")
    ] = "",
    as_json: AsJson = False,
):
    """List the answers that are kept on disk, or delete them: they are computed again when they are
    asked for.

    Example: python -m ctsft cache clear scores
    """
    if action not in ("list", "clear"):
        raise UserError(
            f"{action!r} is nothing that can be done with the cache; choose from list, clear."
        )
    if kind not in ("", *store.KINDS):
        raise UserError(
            f"{kind!r} is not a kind of answer; choose from {', '.join(store.KINDS)}, or none for"
            " all."
        )
    if action == "clear":
        count, freed = store.clear(kind)
        print(
            json.dumps({"answers": count, "bytes": freed})
            if as_json
            else f"{counted(count)} deleted, {size_words(freed)} freed."
        )
        return
    rows = [
        {
            "kind": kept.kind,
            "model": kept.about["model"],
            "task": kept.about["task"],
            "what": kept.about["what"],
            "bytes": kept.bytes,
            "age": round(time.time() - kept.made),
            "path": str(kept.path),
        }
        for kept in store.entries()
        if kind in ("", kept.kind)
    ]
    lines = [
        f"{row['kind']:7} {row['model']:24} {row['task']:12} {row['what']:20}"
        f" {size_words(row['bytes']):>8}  {age_words(row['age']):>6}".rstrip()
        for row in rows
    ]
    lines.append(
        f"{counted(len(rows))}, {size_words(sum(row['bytes'] for row in rows))} of at most"
        f" {size_words(store.limit())}, in {store.cache_folder()}"
    )
    print(json.dumps(rows, indent=1) if as_json else "\n".join(lines))


def counted(count: int) -> str:
    return f"{count} answer{'' if count == 1 else 's'}"


def size_words(size: int) -> str:
    return tqdm.format_sizeof(size, "B")


def age_words(seconds: float) -> str:
    """How long ago, in the largest unit that fits."""
    unit, name = next(
        pair
        for pair in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
        if seconds >= pair[0] or pair[0] == 1
    )
    return f"{max(seconds, 0) / unit:.0f} {name}"
