"""Does undoing the cheapest heads regain the source? Tunes on each target, undoes, and says for
each what was regained and lost on test rows, which are read once.

    OMP_NUM_THREADS=1 python -m benchmarks.undo --data DATA --what full

The goal that is reported: undoing at most 25 % of what was trained regains at least 80 % of the
lost source for at most 20 % of the target's gain. Runs are stored in CTSFT_HOME.
"""

import argparse
from dataclasses import dataclass
from statistics import fmean

from ctsft import runs
from ctsft.cli.run import job_of
from ctsft.jobs.requests import FinetuneRequest, Subject, Tuning, UndoRequest
from ctsft.runs import results
from ctsft.tuning.config import TuneConfig
from ctsft.utils.statistics import spread


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
    outcomes = {target: [] for target in arguments.targets.split(",")}
    for seed in map(int, arguments.seeds.split(",")):
        for target, finished in outcomes.items():
            finished.append(outcome(arguments, target, seed))
            print(f"| {target} | {seed} {line(finished[-1])}", flush=True)
    if "," in arguments.seeds:
        print("\nMeans over seeds:\n")
        for target, finished in outcomes.items():
            print(f"| {target} {mean_line(finished)}")
        print(change_line(list(outcomes.values())))


@dataclass(frozen=True)
class Outcome:
    """Accuracies on test rows before tuning, after it, and with heads undone; what was undone."""

    source: tuple[float, float, float]
    target: tuple[float, float, float]
    heads: float
    share: float  # of what was trained
    valid: str = ""

    @property
    def lost(self) -> float:
        return self.source[0] - self.source[1]

    @property
    def regained(self) -> float:
        return self.source[2] - self.source[1]

    @property
    def gained(self) -> float:
        return self.target[1] - self.target[0]

    @property
    def paid(self) -> float:
        return self.target[1] - self.target[2]

    @property
    def meets_goal(self) -> bool:
        return (
            self.lost > 0
            and self.regained >= 0.8 * self.lost
            and self.paid <= 0.2 * max(self.gained, 0.0)
            and self.share <= 0.25
        )


def outcome(arguments, target: str, seed: int) -> Outcome:
    """Tune, undo, and read the test rows."""
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
        name: tuple(final[when][name] for when in ("before", "tuned", "undone"))
        for name in (source, target)
    }
    count = len(done["heads"])
    ordered, drawn = (
        next(point for point in done["paths"][name] if point["heads"] == count)["accuracy"]
        for name in ("cheapest", "random")
    )
    all_heads = done["paths"]["cheapest"][-1]
    return Outcome(
        figures[source],
        figures[target],
        count,
        done["undone"] / done["trained"],
        f" | valid, cheapest {ordered[source]:.2f} / {ordered[target]:.2f},"
        f" random {drawn[source]:.2f} / {drawn[target]:.2f}, all {all_heads['heads']} heads"
        f" {all_heads['accuracy'][source]:.2f} / {all_heads['accuracy'][target]:.2f}",
    )


def line(one: Outcome) -> str:
    """The rest of a line of the table."""
    return (
        f"| {', '.join(f'{value:.3f}' for value in one.source)}"
        f" | {', '.join(f'{value:.3f}' for value in one.target)}"
        f" | {one.heads:g} ({one.share:.1%} of what was trained)"
        f" | regained {share_of(one.regained, one.lost)} of the loss,"
        f" paid {share_of(one.paid, one.gained)} of the gain"
        f" | {'met' if one.meets_goal else 'not met'}{one.valid} |"
    )


def mean_line(outcomes: list[Outcome]) -> str:
    """The line of the means over seeds: accuracies first, then the shares of these."""

    def means(name: str) -> tuple[float, ...]:
        return tuple(map(fmean, zip(*(getattr(one, name) for one in outcomes), strict=True)))

    heads, share = (fmean(getattr(one, name) for one in outcomes) for name in ("heads", "share"))
    return line(Outcome(means("source"), means("target"), heads, share))


def change_line(outcomes: list[list[Outcome]]) -> str:
    """Undone minus tuned on both sides, over languages (the means of their seeds)."""
    source, target = (
        spread(
            [
                fmean(getattr(one, side)[2] - getattr(one, side)[1] for one in language)
                for language in outcomes
            ]
        )
        for side in ("source", "target")
    )
    return "Undone minus tuned, mean over languages [95 % interval by Student's t]: " + ", ".join(
        f"{name} {mean.mean:+.3f}"
        + (f" [{mean.low:.3f}, {mean.high:.3f}]" if mean.low is not None else "")
        for name, mean in (("source", source), ("target", target))
    )


def share_of(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole > 0 else f"{part:+.3f} (of none)"


def started(request) -> runs.Run:
    """The run of a request, done here."""
    with runs.record(request) as run:
        job_of(request.kind)(run, request)
    return runs.get(run.id)


if __name__ == "__main__":
    main()
