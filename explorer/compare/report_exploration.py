"""The sections of the report on what was explored: model and data, heads, circuit, faithfulness."""

from collections.abc import Mapping

import ctsft
from ctsft import runs
from ctsft.attribution.methods import METHODS
from ctsft.circuit.circuit import Circuit
from ctsft.jobs.requests import needed_request
from ctsft.plots import faithfulness, score_maps
from ctsft.plots.html_report import Chart, Section, Table
from ctsft.receipts.of_runs import receipt_of
from ctsft.tuning import trainable
from ctsft.utils import format
from ctsft.utils.errors import UserError
from ctsft.utils.figures import Count, Figure, attribute, unmarked
from explorer.compare import filters, report_figures
from explorer.compare.report_content import Exploration
from explorer.compare.report_text import plain_name
from explorer.session import circuit as session_circuit
from explorer.text import circuit_rules

MAX_HEADS = 12  # listed in the table of scores
MOST_RECEIPTS = 60
UNRANKED = 10**9
HEAD_COLUMNS = ["head", "rank", "why"]


def subject(of: Exploration) -> Section:
    first = of.rows[0]
    rows = [["model", str(first["model"])]]
    if of.model:
        rows.append(["shape", shape(of.model)])
    rows.append(["task", str(first["task"])])
    if of.task:
        rows += [["prompt", of.task.prompt], ["labels", ", ".join(of.task.labels)]]
    rows += [
        ["source language", first["source"]],
        ["target languages", ", ".join(filters.distinct(of.rows, "target"))],
    ]
    blocks = [Table("Model and task.", ["what", "value"], rows, settings=True)]
    if of.left_out:
        blocks.append(f"{of.left_out} runs of another model or task are left out.")
    return Section("What was explored", blocks)


def fingerprints(of: Exploration) -> Section:
    """The weights, rows and code of the first run; and the receipts of all."""
    facts = needed_request(runs.get(of.rows[0]["run"])).facts
    code = facts.version or ctsft.__version__
    rows = [
        ["weights of the model", facts.model_fingerprint or "not recorded"],
        *([f"rows: {name}", print_] for name, print_ in facts.data_fingerprints.items()),
        ["code", f"ctsft {code}, torch {facts.torch or 'not recorded'}"],
    ]
    caption = "Equal fingerprints: the same weights and rows as yours."
    table = Table(caption, ["of", "fingerprint"], rows, settings=True)
    return Section("Fingerprints", [table, receipts(of)])


def receipts(of: Exploration) -> Table:
    """Which run, rows, seed and model the figures rest on."""
    of_report = [of.score_run, of.faithfulness_run, *(runs.get(row["run"]) for row in of.rows)]
    known = [receipt for run in of_report if run and (receipt := receipt_of(run))]
    columns = ["run", "rows", "seed", "model", "interval"]
    lines = [[dict(receipt.lines())[name] for name in columns] for receipt in known[:MOST_RECEIPTS]]
    caption = (
        "Receipts: what the figures rest on. ctsft verify computes them again from these runs;"
        " hovering over a figure shows its own, with its command."
    )
    if len(known) > MOST_RECEIPTS:
        caption += f" The first {MOST_RECEIPTS} of {len(known)} runs."
    return Table(caption, columns, lines, settings=True)


def shape(model) -> str:
    return (
        f"{model.model_type}, {model.n_layers} layers of {model.n_heads} heads"
        f" ({model.n_kv_heads} key/value heads), {model.n_params:,} parameters"
    )


def heads(of: Exploration) -> Section:
    title, scores = "Which heads carry the task", of.scores
    if scores is None:
        return Section(title, ["The heads of this model are not scored with this task yet."])
    scoring = needed_request(of.score_run).scoring
    method = (
        f"{METHODS[scores.method].label} on"
        f" {Count(len(scores.examples), 'examples', of.score_run.id)}"
        f" {plain_name(of.rows[0]['source'])} texts that the model answers correctly, with equal"
        f" numbers of each label where possible (seed {scoring.seed}; attention"
        f" {scoring.attention}, {scoring.rules} rules, positions:"
        f" {scoring.positions}). A positive score supports the right label, a negative"
        " score opposes it. The unit is logits."
    )
    blocks = [method]
    if of.model:
        circuit = of.circuit or Circuit(frozenset())
        with unmarked():
            drawing = score_maps.head_map(scores, circuit, model=of.model)
        blocks.append(Chart(drawing, report_figures.of_scores(of.score_run.id, scores)))
    return Section(title, [*blocks, score_table(of), *scores.notes])


def score_table(of: Exploration) -> Table:
    scores, rows = of.scores, []
    for rank, head in enumerate(scores.ranking()[:MAX_HEADS], 1):
        run = of.score_run.id
        value = format.number(Figure(scores.values[head].item(), "score", run, *head))
        error = format.number(Figure(scores.stderr[head].item(), "stderr", run, *head))
        label_means = [
            format.number(Figure(values[head].item(), "label_score", run, label, *head))
            for label, values in scores.by_label.items()
        ]
        in_circuit = "yes" if of.circuit and head in of.circuit else ""
        name = format.head_name(head)
        place = f"{Count(rank, 'rank', run, *head)}"
        rows.append([place, name, f"{value} ± {error}", *label_means, in_circuit])
    return Table(
        f"The {len(rows)} highest-scoring of {scores.values.numel()} heads, and their mean score on"
        " the examples of each label.",
        ["rank", "head", "score ± standard error", *scores.by_label, "in the circuit"],
        rows,
    )


def circuit(of: Exploration) -> Section:
    if of.circuit is None or not len(of.circuit):
        return Section("The circuit", ["No head was chosen."])
    chosen, blocks, sharing = of.circuit, [], {}
    if of.model:
        try:
            blocks.append(trained_parameters(of))
            sharing = session_circuit.trained_with(of.model, chosen)
        except UserError:  # the circuit belongs to a model of another shape
            pass
    blocks.append(circuit_table(of))
    if sharing:
        names = ", ".join(f"{format.head_name(head)} ({why})" for head, why in sharing.items())
        blocks.append(
            "Key and value rows are shared by groups of heads, so these heads are partly trained"
            f" too: {names}."
        )
    return Section("The circuit", blocks)


def trained_parameters(of: Exploration) -> str:
    count = trainable.trainable_count(of.model, of.circuit.heads, "group")
    run, total = of.rows[0]["run"], of.model.n_params
    names = ",".join(map(format.head_name, sorted(of.circuit.heads)))
    of_total = Figure(total, "parameters", run)
    trained = Figure(count, "trainable_with", run, names)
    share = Figure(count / total, "divided", trained, of_total)
    return (
        f"{circuit_rules.summary(of.circuit)}. Tuning it trains {trained:,.0f} of"
        f" {of_total:,.0f} parameters ({share:.2%}), every norm included;"
        " all others stay bit-identical."
    )


def circuit_table(of: Exploration) -> Table:
    ranks: Mapping = {}
    if of.scores is not None:
        ranks = {head: rank for rank, head in enumerate(of.scores.ranking(), 1)}
    in_order = sorted(of.circuit.heads, key=lambda head: (ranks.get(head, UNRANKED), head))
    rows = [
        [
            format.head_name(head),
            f"{Count(ranks[head], 'rank', of.score_run.id, *head)}" if head in ranks else "",
            of.circuit.why.get(head) or "no reason is stored",
        ]
        for head in in_order
    ]
    return Table("The heads of the circuit by rank, and why each is in it.", HEAD_COLUMNS, rows)


def faithfulness_curves(of: Exploration) -> Section:
    title, run = "Is the circuit enough?", of.faithfulness_run
    rows = faithfulness.curve_rows(run.events()) if run else []
    if not rows or of.scores is None:
        return Section(
            title,
            ["Faithfulness by size was not measured with these scores (see the Circuit page)."],
        )
    measures = [name for name in faithfulness.MEASURES if faithfulness.is_defined(rows, name)]
    if not measures:
        return Section(title, [faithfulness.UNDEFINED])
    blocks = [
        "Every head outside a circuit is replaced by its mean. A faithfulness of 1 means that the"
        " circuit does all that the full model does, 0 that it does no more than a model without"
        " any of its heads. Random circuits of each size:"
        f" {needed_request(run).n_random}."
    ]
    n_heads, size = of.scores.values.numel(), len(of.circuit or ())
    for measure in measures:
        figures = report_figures.of_faithfulness(run.id, rows, measure, n_heads)
        blocks.append(Chart(faithfulness.size_curve(rows, measure, size, n_heads), figures))
        sentence = faithfulness.curve_sentence(rows, measure, size, n_heads)
        near = report_figures.at_nearest_size(figures, size)
        blocks.append(attribute(sentence, near))
    return Section(title, [block for block in blocks if block])
