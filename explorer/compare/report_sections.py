"""An exploration told section by section: what was explored, what was found, how far to trust it,
how to repeat it. One page, made when asked for.
"""

import re
import time
from collections.abc import Mapping
from statistics import fmean

import ctsft
from ctsft import runs
from ctsft.attribution.methods import METHODS
from ctsft.circuit.circuit import Circuit
from ctsft.plots import faithfulness, html_report, run_frontier, score_maps
from ctsft.plots.html_report import Code, Items, Section, Table
from ctsft.tuning import trainable
from ctsft.utils import format
from ctsft.utils.errors import UserError
from explorer.compare import filters
from explorer.compare import table as compare_table
from explorer.compare.report_content import Exploration, opened
from explorer.session import circuit as session_circuit
from explorer.text import circuit_words, outcomes

# heads, runs and commands that are listed
TOP, LINES, COMMANDS = 12, 60, 40


def write(of: Exploration) -> str:
    """The report as one HTML page."""
    of, first = opened(of), of.rows[0]
    title = f"Circuit exploration: {last(first['model'])}, {last(first['task'])}"
    lead = (
        f"Which attention heads carry the task in {said(first['source'])}, and what tuning some of"
        f" them on {targets(of.rows)} did to both languages. Written"
        f" {time.strftime('%Y-%m-%d %H:%M')} from {len(of.rows)} tuning runs by the circuit"
        " explorer."
    )
    parts = [
        subject(of),
        heads(of),
        circuit(of),
        enough(of),
        tuning(of),
        trust(of),
        repeat(of),
        noted(of),
    ]
    return html_report.report(title, lead, [part for part in parts if part.blocks])


def subject(of: Exploration) -> Section:
    first = of.rows[0]
    params = runs.get(first["run"]).request.params
    rows = [
        ["model", str(first["model"])],
        ["fingerprint of its weights", str(params.get("model_fingerprint") or "not recorded")],
    ]
    if of.model:
        rows += [
            [
                "shape",
                (
                    f"{of.model.model_type}, {of.model.n_layers} layers of {of.model.n_heads} heads"
                    f" ({of.model.n_kv_heads} key/value heads), {of.model.n_params:,} numbers"
                ),
            ]
        ]
    rows += [["task", str(first["task"])]]
    if of.task:
        rows += [["prompt", of.task.prompt], ["labels", ", ".join(of.task.labels)]]
    rows += [
        ["source language", first["source"]],
        ["target languages", ", ".join(filters.values(of.rows, "target"))],
    ]
    rows += [
        [f"fingerprint of rows: {name}", str(value)]
        for name, value in params.get("data_fingerprints", {}).items()
    ]
    rows += [
        [
            "code",
            (
                f"ctsft {params.get('code') or ctsft.__version__}, torch"
                f" {params.get('torch') or 'not recorded'}"
            ),
        ]
    ]
    left = [f"{of.left_out} runs of another model or task are left out."] if of.left_out else []
    table = Table(
        "Model, task and code; fingerprints tell whether yours are the same.",
        ["what", "value"],
        rows,
    )
    return Section("What was explored", [table, *left])


def heads(of: Exploration) -> Section:
    if of.scores is None:
        return Section(
            "Which heads carry the task",
            ["The heads of this model are not scored with this task yet."],
        )
    scores, own = of.scores, of.scored.request.params["scoring"]
    how = (
        f"{METHODS[scores.method].label} on {len(scores.examples)} {said(of.rows[0]['source'])}"
        " texts that the model answers rightly, as many of each label as possible (seed"
        f" {own.get('seed')}; attention {own.get('attention')}, {own.get('rules')} rules,"
        f" positions: {own.get('positions')}). A positive score speaks for the right label, a"
        " negative one against it; the unit is logits."
    )
    ranked = scores.ranking()[:TOP]
    rows = [
        [
            str(i),
            format.head_name(at),
            f"{format.number(scores.values[at].item())} ± {format.number(scores.stderr[at].item())}",
            *(format.number(values[at].item()) for values in scores.by_label.values()),
            "yes" if of.circuit and at in of.circuit else "",
        ]
        for i, at in enumerate(ranked, 1)
    ]
    header = ["rank", "head", "score ± standard error", *scores.by_label, "in the circuit"]
    table = Table(
        f"The {len(rows)} highest-scoring of {scores.values.numel()} heads; then their mean on each"
        " label's examples.",
        header,
        rows,
    )
    drawn = (
        [score_maps.head_map(scores, of.circuit or Circuit(frozenset()), model=of.model)]
        if of.model
        else []
    )
    return Section("Which heads carry the task", [how, *drawn, table, *scores.notes])


def circuit(of: Exploration) -> Section:
    if of.circuit is None or not len(of.circuit):
        return Section("The circuit", ["No head was chosen."])
    found, blocks = of.circuit, []
    if of.model:
        try:
            count = trainable.trainable_count(of.model, found.heads, "group")
            blocks.append(
                f"{circuit_words.described(found)}. Tuning it moves {count:,} of {of.model.n_params:,}"
                f" numbers ({count / of.model.n_params:.2%}), every norm included; all others keep"
                " their bits."
            )
            outside = session_circuit.touched(of.model, found)
        except UserError:  # of another shape
            outside = {}
    else:
        outside = {}
    ranked = {at: i for i, at in enumerate(of.scores.ranking(), 1)} if of.scores is not None else {}
    rows = [
        [format.head_name(at), str(ranked.get(at, "")), found.why.get(at) or "no reason is stored"]
        for at in sorted(found.heads, key=lambda at: (ranked.get(at, 10**9), at))
    ]
    blocks.append(
        Table(
            "Each head of the circuit, by rank, and how it came in.", ["head", "rank", "why"], rows
        )
    )
    if outside:
        blocks.append(
            "Key/value rows are shared by groups of heads, so these move in part too: "
            f"{', '.join(f'{format.head_name(at)} ({why})' for at, why in outside.items())}."
        )
    return Section("The circuit", blocks)


def enough(of: Exploration) -> Section:
    title = "Is the circuit enough?"
    rows = faithfulness.curve_rows(of.measured.events()) if of.measured else []
    if not rows or of.scores is None:
        return Section(
            title, ["Faithfulness against size was not measured with these scores (Circuit page)."]
        )
    n_heads, size = of.scores.values.numel(), len(of.circuit or ())
    how = (
        "Every head outside a circuit gives its mean instead of its own output. A faithfulness of"
        " 1 keeps all that the full model can do, 0 no more than a model without any of its heads."
        f" Random circuits of each size: {of.measured.request.params.get('n_random', 'some')}."
    )
    blocks = [how]
    for measure in faithfulness.MEASURES:
        if faithfulness.is_defined(rows, measure):
            blocks += [
                faithfulness.size_curve(rows, measure, size, n_heads),
                faithfulness.curve_sentence(rows, measure, size, n_heads),
            ]
    return Section(
        title, [block for block in blocks if block] if len(blocks) > 1 else [faithfulness.UNDEFINED]
    )


def tuning(of: Exploration) -> Section:
    ended = [row for row in of.rows if row["state"] in outcomes.ENDED]
    found = compare_table.points(ended, [of.called[row["run"]] for row in ended])
    groups = run_frontier.grouped(found.points)
    sentences = (
        [text]
        if (text := compare_table.reading(groups))
        else outcomes.summary(of.rows, compare_table.measured(ended))
    )
    same, rest = compare_table.shared(of.rows)
    shared = [
        f"All runs: {same}." if len(of.rows) > 1 else f"The run: {same}.",
        *([f"Further settings, the same in all: {rest}."] if rest else []),
    ]
    entries = filters.entries(of.rows, "newest", len(of.rows) > TOP)
    frame = compare_table.frame(entries[:LINES])
    words = {
        name: column.get("label") or name for name, column in compare_table.columns(frame).items()
    }
    table = Table(
        f"{len(of.rows)} runs; forgetting is source accuracy before minus after, gain target"
        " accuracy after minus before."
        + (" Means over seeds ± standard deviation." if len(entries) < len(of.rows) else "")
        + (f" The first {LINES} of {len(entries)} lines." if len(entries) > LINES else ""),
        [words[name] for name in frame],
        [[shown(name, value) for name, value in row.items()] for row in frame.to_dict("records")],
    )
    drawn = ended[: compare_table.DRAWN] or of.rows[:1]
    with_curves = compare_table.overlay(drawn, [of.called[row["run"]] for row in drawn])[0]
    how = (
        "The frontier: what was gained on the target (up) against what was kept of the source"
        " (right); large marks are means over seeds with 95 % bootstrap intervals, or single runs,"
        " and the line joins what no other one beats at both."
    )
    curves = f"Accuracy while tuning, of {len(drawn)} runs; dashed: before tuning."
    return Section(
        "What tuning did",
        [
            *map(plain, sentences),
            *shared,
            table,
            how,
            run_frontier.tradeoff(found.points),
            curves,
            with_curves,
        ],
    )


def shown(name: str, value) -> str:
    """A cell of the frame as text."""
    if value is None or value != value:
        return "–"
    forms = {
        "share": "{:.2%}",
        "forgetting": "{:+.3f}",
        "gain": "{:+.3f}",
        "seconds": "{:.0f} s",
        "heads": "{:.0f}",
    }
    return forms.get(name, "{}").format(value).replace("-", "−") if name in forms else str(value)


def trust(of: Exploration) -> Section:
    rows, items = of.rows, []
    counts = compare_table.measured([row for row in rows if row["state"] in outcomes.ENDED])
    if counts:
        size = min(counts.values())
        middle = fmean(row["source_after"] for row in rows)
        sizes = " and ".join(f"{count} {said(name)}" for name, count in counts.items())
        items.append(
            f"Accuracies were measured on {sizes} rows. Two accuracies near {middle:.2f}, measured"
            f" on {size} rows each, differ by up to about"
            f" {outcomes.noise(middle, middle, size):.2f} (two standard errors) by chance alone."
        )
    else:
        items.append(
            "How many rows the accuracies were measured on is not recorded alike in all runs, so"
            " small differences may be noise."
        )
    seeds = filters.values(rows, "seed")
    items.append(
        "Every run has the same seed, so another draw of the examples may turn the order."
        if len(seeds) == 1
        else (
            f"{len(seeds)} seeds: intervals over so few are rough, and speak for these test rows"
            " only."
        )
    )
    if of.scores is not None:
        items.append(
            f"The scores are means over {len(of.scores.examples)} examples; ± is their standard"
            " error. Another discovery set can rank heads that lie close together in another"
            " order."
        )
    kinds = filters.values(rows, "what")
    missing = [
        outcomes.moved({"what": what})
        for what in ("near_zero", "random", "full")
        if what not in kinds
    ]
    if "circuit" in kinds and missing:
        items.append(
            f"There is no run here of: {', '.join(missing)}. A circuit has shown something only"
            " beside such controls of the same size."
        )
    items.append(
        "A score says how a head acts on these texts, by this method; whether removing it hurts is"
        " another question (mean ablation), and whether tuning it helps a third."
    )
    return Section("How far to trust it", [Items(items)])


def repeat(of: Exploration) -> Section:
    """The commands; cells of an experiment by the experiment's own."""
    wanted = [of.scored, of.measured, *(experiment_or_run(row) for row in reversed(of.rows))]
    commands = list(
        dict.fromkeys(runs.shell_command(run.request) for run in wanted if run and run.request.argv)
    )
    how = (
        "Run these in a checkout of the program, in this order; the same code, model, rows and"
        " seeds give the same numbers on the same kind of processor. Where a command names a run or"
        " a file of the machine it was written on, put your own."
    )
    more = (
        [f"{len(commands) - COMMANDS} more commands stand in the run folders."]
        if len(commands) > COMMANDS
        else []
    )
    if of.circuit and any(" --circuit " in command for command in commands):
        more += [
            "The circuit of this report as a file, for --circuit:",
            Code(session_circuit.file_text(of.circuit)),
        ]
    return Section(
        "Run it again", [how, Code("\n".join(commands[:COMMANDS])), *more] if commands else []
    )


def experiment_or_run(row: Mapping) -> runs.Run | None:
    for run_id in filter(None, (row["experiment"], row["run"])):
        try:
            return runs.get(run_id)
        except UserError:  # deleted
            continue
    return None


def noted(of: Exploration) -> Section:
    rows = [[of.called[row["run"]], row["note"], row["run"]] for row in of.rows if row["note"]]
    return Section(
        "Notes",
        [Table("What was noted of the runs.", ["run", "note", "folder"], rows)] if rows else [],
    )


def plain(sentence: str) -> str:
    """A sentence that was written for Markdown, as it is read."""
    return re.sub(r"\\(.)", r"\1", sentence)


def said(language: str) -> str:
    return plain(outcomes.said(language))


def targets(rows: list[Mapping]) -> str:
    names = [said(target) for target in filters.values(rows, "target")]
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]


def last(path: str) -> str:
    return str(path).rstrip("/").split("/")[-1].removesuffix(".json")
