"""What a scoring pass would cost, said before it is started."""

import streamlit as st

from ctsft.attribution.cost_estimate import Estimate
from ctsft.attribution.methods import VARIANTS
from ctsft.circuit import validation
from ctsft.circuit.selection import share_of
from ctsft.jobs.requests import Scoring
from ctsft.utils import units
from ctsft.utils.errors import UserError
from ctsft.utils.units import duration_text
from explorer.session import binding, computed, inputs

# A text's share of the time, in units of attribution patching's; on the bundled model with one
# thread that takes 0.65 s for 150 texts.
BY_TEXT = 2.5  # gradients of single texts: 1.6 s for 150

# full tuning with its evaluations: 6.3 s for three epochs of 120
TUNED = 4.0


def draw(scoring: Scoring, name: str):
    """A line with time and memory; a large model is calibrated only when asked. An error here is
    the action's own, told there.
    """
    found = estimate(scoring, name)
    if found:
        st.caption(
            f":material/timer: {name} would take **about {duration_text(found.seconds)}** on this"
            f" machine ({device()}) and hold {units.bytes_text(found.memory)} of memory at its"
            f" peak: {found.examples} texts, {found.tokens:,} tokens, every head.",
            help=(
                f"An estimate: {found.operations:.2g} operations at {found.rate / 1e9:.3g} GFLOP/s,"
                " measured on one batch of this pass. Within a factor of 1.5 on a machine that"
                " does nothing else; drawing the examples and loading the model come on top."
            ),
        )


def of_rows(rows: int, name: str, times: float, what: str):
    """A line on work of which there is no estimate of its own: so many `times` attribution patching
    of `rows` texts. `what` it does.
    """
    most = len(
        inputs.load_rows(
            binding.view().task,
            binding.view().data_dir,
            binding.view().source,
            binding.view().split,
        )
    )
    found = estimate(Scoring(size=min(rows, most), method="atp"), name)
    if found:
        st.caption(
            f":material/timer: {name} would take **roughly"
            f" {duration_text(times * found.seconds * rows / found.examples)}** on this machine"
            f" ({device()}): {what}.",
            help=(
                "From one batch of attribution patching on this machine, a forward and a backward"
                f" pass too; what the work takes beyond that is a factor of {times:g}, measured on"
                " the bundled model."
            ),
        )


def of_checks(n_random: int, pools: int):
    """A line on checking the scores: its passes over the discovery set, the random circuits, the
    other pools.
    """
    now = binding.view()
    model, wanted = inputs.load_model(now.model), st.session_state.setdefault("estimated", set())
    asked = ("checks", now.subject, now.size)
    if model.n_params > inputs.SMALL and asked not in wanted:
        if not st.button(
            "Estimate the cost",
            key="cost-checks",
            help=f"Runs one batch of three passes on {model.device}: seconds to a minute.",
        ):
            return
        wanted.add(asked)
    rows, methods = (now.task, now.data_dir, now.source, now.split), ("cdt", "atp", "ablation")
    try:
        cdt, atp, ablation = (
            computed.cost(now.model, model.fingerprint, rows, Scoring(size=now.size, method=name))
            for name in methods
        )
        unseen = min(validation.Checks.rows, len(inputs.load_rows(*rows[:3], "valid")))
    except UserError:
        return
    seconds = checks_seconds(cdt, atp, ablation, len(model.heads), unseen, n_random, pools)
    st.caption(
        f":material/timer: Checking would take **roughly {duration_text(seconds)}** on this machine"
        f" ({device()}): {len(VARIANTS)} scorings of {cdt.examples} texts, circuits of"
        f" every size on {unseen} unseen rows, {pools} pools.",
        help=(
            "An estimate of this program's own, from one batch each of CD-T, attribution patching"
            " and plain forward passes on this machine; loading the model and drawing the discovery"
            " sets come on top."
        ),
    )


def checks_seconds(
    cdt: Estimate,
    atp: Estimate,
    ablation: Estimate,
    n_heads: int,
    unseen: int,
    n_random: int,
    pools: int,
) -> float:
    """Every ranking at the price of its kind (integrated gradients: one of attribution patching's a
    step), a forward pass of the unseen rows for each circuit that is measured, and the rankings
    whose stability is looked at once a pool.
    """
    price = {
        "cdt": cdt.seconds,
        "atp": atp.seconds,
        "ig": atp.seconds,
        "ablation": ablation.seconds,
    }
    # of one text
    forward = ablation.seconds / (ablation.examples * (1 + n_heads))
    sizes = {share_of(share, n_heads) for share in validation.SIZES}
    circuits = len(sizes) * (n_random + len(VARIANTS))
    of = {name: price[variant.method] for name, variant in VARIANTS.items()}
    for name, variant in VARIANTS.items():
        if variant.method == "ig":
            of[name] *= variant.settings.get("steps", Scoring.steps)
    return (
        sum(of.values())
        + forward * unseen * circuits
        + pools * sum(of[name] for name in validation.Checks.stable)
    )


def device() -> str:
    return str(inputs.load_model(binding.view().model).device)


def estimate(scoring: Scoring, name: str) -> Estimate | None:
    now = binding.view()
    model = inputs.load_model(now.model)
    asked = (now.subject, scoring)
    wanted = st.session_state.setdefault("estimated", set())
    if model.n_params > inputs.SMALL and asked not in wanted:
        if not st.button(
            "Estimate the cost",
            key=f"cost-{name}",
            help=f"Runs one batch of the pass on {model.device}: seconds to a minute.",
        ):
            return None
        wanted.add(asked)
    try:
        return computed.cost(
            now.model, model.fingerprint, (now.task, now.data_dir, now.source, now.split), scoring
        )
    except UserError:
        return None
