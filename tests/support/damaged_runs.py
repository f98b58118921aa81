"""Run folders that hold anything: each entry of `DAMAGE` damages a tuning run's folder."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from ctsft import runs

DEEP = "[" * 100_000 + "]" * 100_000
ANYTHING = {
    "empty": "",
    "null": "null",
    "list": "[]",
    "text": '"words"',
    "number": "12",
    "torn": '{"state": "do',
    "deep": DEEP,
    "binary": "\0\ud7ff",
}
FIELDS = {
    "request.json": {
        "kind": [7],
        "created": "yesterday",
        "facts": None,
        "name": {"a": 1},
        "tuning": None,
        "subject": [],
        "config": {"epochs": "many"},
        "unknown": 1,
        "cwd": 3,
    },
    "status.json": {
        "state": "dancing",
        "progress": 7,
        "eta": "soon",
        "pid": 10**40,
        "heartbeat": -(10**400),
        "message": None,
    },
    "result.json": {
        "trainable": "many",
        "total": 0,
        "history": {},
        "heads": [1],
        "rows": {"indonesian": "x"},
        "final": {"before": 1},
        "config": None,
    },
}
MISSING = ("trainable", "total", "heads")  # of the result
EVENTS = {
    "words": '{"kind": "evaluation", "step": "one", "accuracy": {"indonesian": 1}}',
    "no accuracy": '{"kind": "evaluation", "step": 1, "accuracy": null}',
    "list": '{"kind": "evaluation", "step": 3, "accuracy": [0.5, 0.5]}',
    "beyond": '{"kind": "evaluation", "step": 3, "accuracy": {"indonesian": 1e999}}',
    "others": '{"kind": "evaluation", "step": 3, "accuracy": {"klingon": 0.5}}',
    "history": '{"kind": "resumed", "step": 3, "history": 5}',
    "older": '{"kind": "resumed", "step": 3, "history": [{"step": null}]}',
}


def text(name: str, content: str) -> Callable[[runs.Run], None]:
    return lambda run: run.file(name).write_text(content, errors="replace")


def field(name: str, key: str, value: object) -> Callable[[runs.Run], None]:
    def damage(run: runs.Run):
        content = json.loads(run.file(name).read_text())
        run.file(name).write_text(json.dumps(content | {key: value}))

    return damage


def without(name: str, key: str) -> Callable[[runs.Run], None]:
    def damage(run: runs.Run):
        content = json.loads(run.file(name).read_text())
        del content[key]
        run.file(name).write_text(json.dumps(content))

    return damage


def event(line: str) -> Callable[[runs.Run], None]:
    def damage(run: runs.Run):
        with open(run.file("events.jsonl"), "a") as file:
            file.write(line + "\n")

    return damage


def instead(name: str, make: Callable[[Path], None]) -> Callable[[runs.Run], None]:
    def damage(run: runs.Run):
        run.file(name).unlink()
        make(run.file(name))

    return damage


FILES = ("request.json", "status.json", "events.jsonl", "result.json")
UNREAD = {
    "folder": Path.mkdir,
    "loop": lambda path: path.symlink_to(path),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "pipe": os.mkfifo,
}
DAMAGE = (
    {f"{name} {key}": text(name, content) for name in FIELDS for key, content in ANYTHING.items()}
    | {
        f"{name}: {key}": field(name, key, value)
        for name, fields in FIELDS.items()
        for key, value in fields.items()
    }
    | {f"events {key}": event(line) for key, line in EVENTS.items()}
    | {f"{name} is a {key}": instead(name, make) for name in FILES for key, make in UNREAD.items()}
)
