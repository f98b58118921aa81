"""Damages of right inputs for `benchmarks.fuzz`: JSON, bytes, text, tables and tensors with one
thing changed.
"""

import json
import random

ODD = (
    None, True, False, 0, -1, 3, 10**30, 1.5, -0.0, 1e300, float("nan"), float("inf"), "", " ",
    "word", "3", "x" * 5000, "\0", "\u202eabc", "é", "../../etc", "{text!r}",
    "{text:>1000000000}", "<img src=x>", [], [[]], [1, "a", None], {}, {"a": {"b": []}}, "beta",
)  # fmt: skip


def damage_json(value: object, draw: random.Random) -> object:
    """A copy of a JSON value with one node changed."""
    value = json.loads(json.dumps(value))
    nodes: list[tuple[object, object]] = []

    def visit(node: object):
        pairs = []
        if isinstance(node, dict):
            pairs = list(node.items())
        elif isinstance(node, list):
            pairs = list(enumerate(node))
        for key, child in pairs:
            nodes.append((node, key))
            visit(child)

    visit(value)
    if not nodes or draw.random() < 0.05:
        return draw.choice(ODD)
    parent, key = draw.choice(nodes)
    kind = draw.randrange(5)
    if kind == 0 and isinstance(parent, dict):
        del parent[key]
    elif kind == 1 and isinstance(parent, dict):
        parent[f"{key}x"] = parent.pop(key)
    elif kind == 2 and isinstance(parent, list):
        parent.append(parent[key])
    else:
        # half of them of the same type, to come past the first check
        alike = [odd for odd in ODD if type(odd) is type(parent[key])]
        parent[key] = draw.choice(alike if alike and draw.random() < 0.5 else ODD)
    return value


def damage_bytes(data: bytes, draw: random.Random) -> bytes:
    """Spoilt, cut, doubled or replaced."""
    place = draw.randrange(len(data) + 1)
    kinds = (
        lambda: data[:place],
        lambda: data[:place] + bytes([draw.randrange(256)]) + data[place + 1 :],
        lambda: data[:place] + draw.randbytes(8) + data[place:],
        lambda: data[:place] + data[max(0, place - 20) :],
        lambda: b"",
        lambda: b"[" * 100_000,
        lambda: b"\xef\xbb\xbf" + data,
        lambda: data.decode("utf-8", "replace").encode("utf-16"),
        lambda: b"null",
        lambda: draw.randbytes(200),
    )
    return draw.choice(kinds)()


def damage_text(data: bytes, draw: random.Random) -> bytes:
    """A table's text with one line or one separator changed."""
    lines = data.decode("utf-8").split("\n")
    at = draw.randrange(len(lines))
    mark = draw.choice([",", "\t", ";", '"', "'", "\r", "\0", "|", "é", ",,", '""', "null", "{"])
    line = lines[at]
    place = draw.randrange(len(line) + 1)
    kind = draw.randrange(6)
    if kind == 0:
        lines[at] = line[:place] + mark + line[place:]
    elif kind == 1:
        lines[at] = line[:place]
    elif kind == 2:
        lines.insert(at, line)
    elif kind == 3:
        del lines[at]
    elif kind == 4:
        lines[at] = line.replace(draw.choice([",", "\t", '"', ":"]), mark)
    else:
        return "\n".join(lines).encode(draw.choice(["utf-16", "latin-1", "utf-8-sig"]), "replace")
    return "\n".join(lines).encode()


def damage_document(data: bytes, draw: random.Random) -> bytes:
    if draw.random() < 0.2:
        return damage_bytes(data, draw)
    return json.dumps(damage_json(json.loads(data), draw)).encode()


def damage_table(data: bytes, draw: random.Random) -> bytes:
    return damage_bytes(data, draw) if draw.random() < 0.2 else damage_text(data, draw)


def damage_lines(data: bytes, draw: random.Random) -> bytes:
    """One line of JSON lines changed."""
    if draw.random() < 0.3:
        return damage_table(data, draw)
    lines = data.decode().strip().split("\n")
    at = draw.randrange(len(lines))
    lines[at] = json.dumps(damage_json(json.loads(lines[at]), draw))
    return ("\n".join(lines) + "\n").encode()


def damage_tensors(data: bytes, draw: random.Random) -> bytes:
    """A safetensors file with its header or its description changed."""
    if draw.random() < 0.25:
        return damage_bytes(data, draw)
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    about = header.get("__metadata__", {})
    key = next(iter(about), "")
    if about.get(key, "").startswith("{") and draw.random() < 0.6:
        about[key] = json.dumps(damage_json(json.loads(about[key]), draw))
    else:
        header = damage_json(header, draw)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + size :]
