"""The shell's command for the cache: list and clear."""

import json
import time
from typing import Annotated

import typer

from ctsft.cache import store
from ctsft.cli.app import AsJson, app
from ctsft.utils.errors import UserError
from ctsft.utils.units import bytes_text, duration_text


@app.command("cache")
def list_or_clear(
    action: Annotated[str, typer.Argument(help="list or clear.")] = "list",
    kind: Annotated[
        str,
        typer.Argument(
            metavar="[KIND]", help="scores, means, pools, fisher or circuits; default: all."
        ),
    ] = "",
    as_json: AsJson = False,
):
    """List the results that are stored on disk, or delete them; they are computed again when they
    are needed.

    Example: python -m ctsft cache clear scores
    """
    if action not in ("list", "clear"):
        raise UserError(f"{action!r} is not an action of the cache; choose from list, clear.")
    if kind not in ("", *store.KINDS):
        raise UserError(
            f"{kind!r} is not a kind of result; choose from {', '.join(store.KINDS)}, or none for"
            " all."
        )
    if action == "clear":
        count, freed = store.clear(kind)
        print(
            json.dumps({"answers": count, "bytes": freed})
            if as_json
            else f"{counted(count)} deleted, {bytes_text(freed)} freed."
        )
        return
    rows = [
        {
            "kind": answer.kind,
            "model": answer.about["model"],
            "task": answer.about["task"],
            "what": answer.about["what"],
            "bytes": answer.bytes,
            "age": round(time.time() - answer.made),
            "path": str(answer.path),
        }
        for answer in store.stored_answers()
        if kind in ("", answer.kind)
    ]
    lines = [
        f"{row['kind']:7} {row['model']:24} {row['task']:12} {row['what']:20}"
        f" {bytes_text(row['bytes']):>9}  {duration_text(row['age']):>8}".rstrip()
        for row in rows
    ]
    lines.append(
        f"{counted(len(rows))}, {bytes_text(sum(row['bytes'] for row in rows))} of at most"
        f" {bytes_text(store.size_limit())}, in {store.cache_folder()}"
    )
    print(json.dumps(rows, indent=1) if as_json else "\n".join(lines))


def counted(count: int) -> str:
    return f"{count} answer{'' if count == 1 else 's'}"
