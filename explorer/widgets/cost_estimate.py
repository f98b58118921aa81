"""What a computation will cost, shown before it is started."""

import shlex
from collections.abc import Mapping

import streamlit as st

from ctsft.attribution.cost_estimate import Estimate
from ctsft.attribution.variants import DEFAULT_VARIANTS, VARIANTS
from ctsft.circuit import validation
from ctsft.circuit.checks import TemplateChecks
from ctsft.circuit.selection import heads_in_fraction
from ctsft.circuit.template_report import counted
from ctsft.jobs.requests import Scoring
from ctsft.receipts.receipt import Receipt, RowSet
from ctsft.utils.errors import UserError
from ctsft.utils.units import bytes_text, duration_text
from explorer.session import binding, computed, inputs, receipts, recording
from explorer.widgets import receipt

# The cost of a text, as a multiple of its cost in attribution patching. Measured on the bundled
# model with one thread, where attribution patching takes 0.65 s for 150 texts.
SINGLE_TEXT_GRADIENTS = 2.5  # 1.6 s for 150 texts
FULL_TUNING = 4.0  # with its evaluations: 6.3 s for three epochs of 120 texts


def draw(scoring: Scoring, name: str):
    """A line with the time and memory of a scoring pass; for a large model only on request. An
    error is not shown here: the computation itself reports it.
    """
    cost = estimate(scoring, name)
    if cost is None:
        return
    line(
        name,
        scoring.method,
        f"{name} would take **about {duration_text(cost.seconds)}** on this"
        f" machine ({device()}) and need up to {bytes_text(cost.memory)} of memory:"
        f" {cost.examples} texts, {cost.tokens:,} tokens, every head.",
        (
            f"An estimate: {cost.operations:.2g} operations at {cost.rate / 1e9:.3g} GFLOP/s,"
            " measured on one batch of this pass. It is right within a factor of 1.5 on a machine"
            " that does nothing else. Drawing the examples and loading the model are not included."
        ),
    )


def of_rows(rows: int, name: str, factor: float, work: str):
    """A line on work that has no estimate of its own: `factor` times attribution patching of `rows`
    texts. `work`: what is computed.
    """
    cost = estimate(
        Scoring(size=min(rows, len(inputs.load_rows(*source_rows()))), method="atp"), name
    )
    if cost is None:
        return
    seconds = factor * cost.seconds * rows / cost.examples
    line(
        name,
        "atp",
        f"{name} would take **roughly {duration_text(seconds)}** on this machine"
        f" ({device()}): {work}.",
        (
            "Estimated from one batch of attribution patching on this machine, which is a forward"
            f" and a backward pass too, times a factor of {factor:g} that was measured on the"
            " bundled model."
        ),
    )


def of_checks(n_random: int, pools: int):
    """A line on validating the scores: the passes over the discovery set, the random circuits, and
    the other discovery sets.
    """
    view = binding.view()
    model = inputs.load_model(view.model)
    if not requested(
        ("checks", view.subject, view.size),
        "cost-checks",
        f"Runs one batch of three passes on {model.device}: seconds to a minute.",
    ):
        return
    try:
        costs = {
            method: computed.cost(
                view.model, model.fingerprint, source_rows(), Scoring(size=view.size, method=method)
            )
            for method in ("cdt", "atp", "ablation")
        }
        valid_rows = len(inputs.load_rows(view.task, view.data_dir, view.source, "valid"))
    except UserError:
        return
    unseen = min(validation.Checks.rows, valid_rows)
    seconds = checks_seconds(costs, len(model.heads), unseen, n_random, pools)
    line(
        "checks",
        "cdt",
        f"Validating would take **roughly {duration_text(seconds)}** on this"
        f" machine ({device()}): {len(DEFAULT_VARIANTS)} scorings of {costs['cdt'].examples}"
        f" texts, circuits of every size on {unseen} unseen rows, {pools} discovery sets.",
        (
            "An estimate from one batch each of CD-T, attribution patching and plain forward passes"
            " on this machine. Loading the model and drawing the discovery sets are not included."
        ),
    )


def of_templates(checks: TemplateChecks):
    """A line on comparing templates: one scoring for each head map."""
    variant = VARIANTS[checks.method]
    scoring = Scoring(size=checks.size, method=variant.method, **variant.settings)
    cost = estimate(scoring, "templates")
    if cost is None:
        return
    factors = {
        "template": len(checks.templates),
        "language": len(checks.languages),
        "pool": checks.pools,
        "seed": checks.seeds,
    }
    counts = " × ".join(counted(number, noun) for noun, number in factors.items())
    line(
        "templates",
        variant.method,
        f"Comparing would take **roughly {duration_text(checks.maps * cost.seconds)}** on this"
        f" machine ({device()}): {checks.maps} head maps ({counts}) of {cost.examples} texts.",
        (
            "An estimate from one batch of this ranking on this machine, times the number of head"
            " maps. Loading the model and drawing the discovery sets are not included."
        ),
    )


def checks_seconds(
    costs: Mapping[str, Estimate], n_heads: int, unseen: int, n_random: int, pools: int
) -> float:
    """The time of validating scores: every ranking at the cost of its method (integrated gradients:
    one attribution patching for each step), a forward pass over the `unseen` rows for each circuit
    that is measured, and the rankings whose stability is measured once for each discovery set.

    `costs`: of "cdt", "atp" and "ablation".
    """
    seconds = {method: cost.seconds for method, cost in costs.items()}
    ablation = costs["ablation"]
    forward = ablation.seconds / (ablation.examples * (1 + n_heads))  # of one text
    sizes = {heads_in_fraction(share, n_heads) for share in validation.CURVE_SHARES}
    circuits = len(sizes) * (n_random + len(DEFAULT_VARIANTS))
    rankings = {}
    for name in DEFAULT_VARIANTS:
        variant = VARIANTS[name]
        if variant.method == "ig":
            rankings[name] = seconds["atp"] * variant.settings.get("steps", Scoring.steps)
        else:
            rankings[name] = seconds[variant.method]
    repeated = sum(rankings[name] for name in validation.Checks.stable)
    return sum(rankings.values()) + forward * unseen * circuits + pools * repeated


def line(name: str, method: str, text: str, explanation: str):
    """An estimate with its receipt."""
    with receipt.covered(f"cost-{name}", [estimate_receipt(method)]):
        st.caption(f":material/timer: {text}", help=explanation)


def estimate_receipt(method: str) -> Receipt:
    """Of an estimate, which no run stores."""
    view = binding.view()
    words = ["python", "-m", "ctsft", "estimate", "--model", view.model, "--task", view.task]
    words += ["--language", view.source, "--method", method]
    return Receipt(
        command=shlex.join(words),
        run="none: estimated on this page",
        rows=(RowSet(name=view.source, split=view.split),),
        seed="none: nothing is drawn",
        model_fingerprint=receipts.weights(inputs.load_model(view.model)),
        interval="none: right within a factor of 1.5 on an idle machine",
    )


def device() -> str:
    return str(inputs.load_model(binding.view().model).device)


def source_rows() -> computed.Rows:
    view = binding.view()
    return view.task, view.data_dir, view.source, view.split


def estimate(scoring: Scoring, name: str) -> Estimate | None:
    view = binding.view()
    model = inputs.load_model(view.model)
    if not requested(
        (view.subject, scoring),
        f"cost-{name}",
        f"Runs one batch of the pass on {model.device}: seconds to a minute.",
    ):
        return None
    try:
        return computed.cost(view.model, model.fingerprint, source_rows(), scoring)
    except UserError:
        return None


def requested(work: tuple, key: str, button_help: str) -> bool:
    """Whether `work` may be measured: always for a small model, never without weights, otherwise
    once the button was pressed.
    """
    if recording.current():
        return False
    pressed = st.session_state.setdefault("estimated", set())
    if inputs.load_model(binding.view().model).n_params <= inputs.SMALL or work in pressed:
        return True
    if not st.button("Estimate the cost", key=key, help=button_help):
        return False
    pressed.add(work)
    return True
