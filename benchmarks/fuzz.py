"""Bad inputs at every door: each has to be refused in one sentence, or accepted rightly.

    python -m benchmarks.fuzz [--inputs 1500] [--seed 0] [--seconds 900]

Each input is a right one with a few seeded damages: a value of another type, a key too many or too
few, text cut or spoilt, another encoding. A *fault* is any other exception than the sentence, a
sentence of several lines or of more than `LONGEST` characters, an answer that takes more than
`SLOW` seconds, or an accepted input whose content is not what the door promises. Everything runs
in this process. Exit code 1 where there is a fault, or the time was not enough.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

import ctsft
from benchmarks.fuzz_doors import Door, doors
from ctsft.cli import experiment, export, scoring, scoring_checks, tuning
from ctsft.utils.errors import UserError

LONGEST = 1000  # characters of a sentence; the paths in it are of any length
SLOW = 20.0  # seconds


@dataclass
class Count:
    tried: int = 0
    refused: int = 0
    accepted: int = 0
    faults: list[str] = field(default_factory=list)


def try_one(door: Door, path: Path, count: Count):
    """Read one input and count what came of it."""
    began = time.monotonic()
    count.tried += 1
    fault = ""
    try:
        right = door.check(door.read(path))
        fault = "" if right else "it was accepted, and is not right"
        count.accepted += bool(right)
    except UserError as error:
        sentence = str(error)
        if "\n" in sentence or len(sentence) > LONGEST or not sentence.strip():
            fault = f"the sentence has {len(sentence)} characters: {sentence[:300]!r}"
        else:
            count.refused += 1
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        fault = f"{type(error).__name__} in {where}: {str(error)[:200]}"
    seconds = time.monotonic() - began
    if not fault and seconds > SLOW:
        fault = f"it took {seconds:.0f} s"
    if fault:
        count.faults.append(f"{door.name}: {fault}; input {path.read_bytes()[:160]!r}")


def fuzz(inputs: int, seed: int, seconds: float, model) -> dict[str, Count]:
    """{door: what came of its inputs}; fewer inputs where the time is over."""
    end = time.monotonic() + seconds
    before = os.environ.get("CTSFT_HOME")
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    os.environ["CTSFT_HOME"] = str(folder / "home")
    modules = (scoring, scoring_checks, tuning, experiment, export)
    executed = [module.execute for module in modules]
    for module in modules:  # a command is parsed and checked, and its job is not run
        module.execute = lambda request, as_json=False: None
    try:
        all_doors = doors(folder, model)
        total = sum(door.share for door in all_doors)
        counts = {door.name: Count() for door in all_doors}
        for door in all_doors:
            draw = random.Random(f"{seed} {door.name}")
            path = folder / "input" / Path(door.name.replace(" ", "-")).name
            # the control: what is right is accepted
            shutil.rmtree(path.parent, ignore_errors=True)
            path.parent.mkdir()
            path.write_bytes(door.right)
            control = Count()
            try_one(door, path, control)
            if not control.accepted:
                counts[door.name].faults += control.faults or [f"{door.name}: nothing is accepted"]
            for _ in range(-(-int(inputs * door.share) // int(total))):
                if time.monotonic() > end:
                    break
                shutil.rmtree(path.parent, ignore_errors=True)
                path.parent.mkdir()
                data = door.spoil(door.right, draw)
                path.write_bytes(data)
                try_one(door, path, counts[door.name])
        return counts
    finally:
        for module, execute in zip(modules, executed, strict=True):
            module.execute = execute
        shutil.rmtree(folder, ignore_errors=True)
        os.environ.pop("CTSFT_HOME")
        if before is not None:
            os.environ["CTSFT_HOME"] = before


def table_of(counts: dict[str, Count]) -> str:
    lines = [
        "| door | tried | refused in a sentence | accepted rightly | faults |",
        "|---|---|---|---|---|",
    ]
    rows = [*counts.items(), ("all", total_of(counts))]
    lines += [
        f"| {name} | {count.tried} | {count.refused} | {count.accepted} | {len(count.faults)} |"
        for name, count in rows
    ]
    return "\n".join(lines)


def total_of(counts: dict[str, Count]) -> Count:
    parts = counts.values()
    return Count(
        sum(count.tried for count in parts),
        sum(count.refused for count in parts),
        sum(count.accepted for count in parts),
        [fault for count in parts for fault in count.faults],
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=900.0)
    arguments = parser.parse_args()
    model = ctsft.load_model("demo", "cpu")
    counts = fuzz(arguments.inputs, arguments.seed, arguments.seconds, model)
    print(table_of(counts))
    total = total_of(counts)
    for fault in total.faults:
        print(fault, file=sys.stderr)
    return 0 if total.tried >= arguments.inputs and not total.faults else 1


if __name__ == "__main__":
    sys.exit(main())
