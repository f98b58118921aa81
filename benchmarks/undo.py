"""Does undoing the cheapest heads regain the source? Tunes on each target, undoes, and says for
each what was regained and lost on test rows, which are read once.

    OMP_NUM_THREADS=1 python -m benchmarks.undo --data DATA --what full

The goal that is reported: undoing at most 25 % of what was trained regains at least 80 % of the
lost source for at most 20 % of the target's gain. Runs are stored in CTSFT_HOME.
"""

import argparse

from ctsft import runs
from ctsft.cli.run import job_of
from ctsft.jobs.requests import FinetuneRequest, Subject, Tuning, UndoRequest
from ctsft.runs import results
from ctsft.tuning.config import TuneConfig


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="folder of NusaX")
    parser.add_argument("--targets", default="minangkabau,acehnese,balinese,sundanese")
    parser.add_argument("--what", default="full")
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--epochs", type=float, default=8)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seeds", default="31")
    parser.add_argument("--step", type=int, default=6, help="heads between two measurements")
    arguments = parser.parse_args()
    print("| target | seed | source before, tuned, undone | target before, tuned, undone | heads")
    for seed in map(int, arguments.seeds.split(",")):
        for target in arguments.targets.split(","):
            print(row(arguments, target, seed), flush=True)


def row(arguments, target: str, seed: int) -> str:
    """One line of the table."""
    subject = Subject(model="demo", task="nusax", data_dir=arguments.data, device="cpu")
    tuned = started(
        FinetuneRequest(
            subject=subject,
            tuning=Tuning(
                target=target,
                what=arguments.what,
                n=arguments.n,
                final_split=None,
                shares=False,
            ),
            config=TuneConfig(
                epochs=arguments.epochs, learning_rate=arguments.lr, seed=seed, eval_every=1000
            ),
        )
    )
    done = results.result(started(UndoRequest(tuned=tuned.id, step=arguments.step)))
    source, final = done["source"], done["final"]
    figures = {
        name: [final[when][name] for when in ("before", "tuned", "undone")]
        for name in (source, target)
    }
    lost = figures[source][0] - figures[source][1]
    gained = figures[target][1] - figures[target][0]
    regained = figures[source][2] - figures[source][1]
    paid = figures[target][1] - figures[target][2]
    share = done["undone"] / done["trained"]
    is_met = lost > 0 and regained >= 0.8 * lost and paid <= 0.2 * gained and share <= 0.25
    count = len(done["heads"])
    ordered, drawn = (
        next(point for point in done["paths"][name] if point["heads"] == count)["accuracy"]
        for name in ("cheapest", "random")
    )
    all_heads = done["paths"]["cheapest"][-1]
    return (
        f"| {target} | {seed} | {', '.join(f'{value:.3f}' for value in figures[source])}"
        f" | {', '.join(f'{value:.3f}' for value in figures[target])}"
        f" | {count} ({share:.1%} of what was trained)"
        f" | regained {share_of(regained, lost)} of the loss, paid {share_of(paid, gained)} of the"
        f" gain | {'met' if is_met else 'not met'}"
        f" | valid, cheapest {ordered[source]:.2f} / {ordered[target]:.2f},"
        f" random {drawn[source]:.2f} / {drawn[target]:.2f}, all {all_heads['heads']} heads"
        f" {all_heads['accuracy'][source]:.2f} / {all_heads['accuracy'][target]:.2f} |"
    )


def share_of(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole > 0 else f"{part:+.3f} (of none)"


def started(request) -> runs.Run:
    """The run of a request, done here."""
    with runs.record(request) as run:
        job_of(request.kind)(run, request)
    return runs.get(run.id)


if __name__ == "__main__":
    main()
