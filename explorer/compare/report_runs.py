"""The sections of the report on the tuning runs: results, reliability, commands, notes."""

from collections.abc import Mapping

from ctsft import runs
from ctsft.jobs.command_line import shell_command
from ctsft.jobs.requests import request_of
from ctsft.plots import run_frontier
from ctsft.plots.html_report import Block, Chart, Code, Items, Section, Settings, Table
from ctsft.utils.errors import UserError
from ctsft.utils.figures import unmarked
from explorer.compare import curves, filters, report_figures, table
from explorer.compare.points import points
from explorer.compare.report_content import Exploration
from explorer.compare.report_text import plain, plain_name
from explorer.compare.summary import sentences, unlike_marks
from explorer.session import circuit as session_circuit
from explorer.text import outcomes
from explorer.text.run_names import recipe_name

MAX_SINGLE_LINES, MAX_LINES, MAX_COMMANDS = 12, 60, 40
CONTROLS = ("near_zero", "random", "full")
FORMATS = {  # columns of the table that hold numbers
    "share": "{:.2%}",
    "forgetting": "{:+.3f}",
    "source_lowest": "{:.3f}",
    "source_area_lost": "{:+.3f}",
    "gain": "{:+.3f}",
    "seconds": "{:.0f} s",
    "heads": "{:.0f}",
}


def opening(of: Exploration) -> Section:
    """The frontier, and what it shows in sentences."""
    ended = ended_rows(of)
    names = [of.names[row["run"]] for row in ended]
    with unmarked():
        drawing = run_frontier.run_frontier(points(ended, names).points)
    traced = report_figures.traced(ended)
    ended_points = points(traced, names)
    return Section(
        "What tuning changed",
        [
            Chart(drawing, report_figures.of_frontier(ended_points.points)),
            *map(plain, sentences(report_figures.traced(of.rows), ended_points)),
            (
                "The frontier: the change on the target (up) and on the source (right)."
                " Large marks are means over seeds with 95 % intervals, or single runs."
                " The line joins the marks that no other mark exceeds in both."
                f" {unlike_marks(ended_points)}"
            ).strip(),
        ],
    )


def ended_rows(of: Exploration) -> list[Mapping]:
    return [row for row in of.rows if row["state"] in outcomes.ENDED]


def tuning(of: Exploration) -> Section:
    ended = ended_rows(of)
    drawn_rows = ended or of.rows[:1]
    with unmarked():
        drawing, left_out = curves.overlay(drawn_rows, of.names)
    drawn = len(drawn_rows) - left_out
    return Section(
        "The runs",
        [
            *shared_settings(of.rows),
            run_table(of.rows),
            (
                f"Accuracy during tuning, of {drawn} runs; several seeds are a line (their mean)"
                " and a band (lowest to highest); dashed: before tuning."
            ),
            Chart(drawing, report_figures.of_curves(drawn_rows)),
        ],
    )


def shared_settings(rows: list[Mapping]) -> list[Block]:
    main, others = table.shared(rows)
    subject = "All runs" if len(rows) > 1 else "The run"
    sentences = [f"{subject}: {main}."]
    if others:
        sentences.append(f"Further settings, the same in all runs: {others}.")
    return [Settings(sentence) for sentence in sentences]


def run_table(rows: list[Mapping]) -> Table:
    entries = filters.entries(rows, "newest", len(rows) > MAX_SINGLE_LINES)
    frame = table.frame(entries[:MAX_LINES])
    lines = [table.line(report_figures.traced(entry)) for entry in entries[:MAX_LINES]]
    columns = table.columns(frame)
    title = (
        f"{len(rows)} runs. Forgetting is source accuracy before minus after, gain is target"
        " accuracy after minus before."
    )
    if len(entries) < len(rows):
        title += " Means over seeds ± standard deviation."
    if len(entries) > MAX_LINES:
        title += f" The first {MAX_LINES} of {len(entries)} lines."
    return Table(
        title,
        [columns[name].get("label") or name for name in frame],
        [
            [cell_text(name, line.get(name, value)) for name, value in shown.items()]
            for line, shown in zip(lines, frame.to_dict("records"), strict=True)
        ],
    )


def cell_text(name: str, value) -> str:
    if value is None or value != value:  # NaN
        return "–"
    if name in FORMATS:
        return FORMATS[name].format(value).replace("-", "−")
    return str(value)


def reliability(of: Exploration) -> Section:
    """How far the results can be trusted."""
    sentences = [row_chance(of.rows), seed_chance(of.rows)]
    if of.scores is not None:
        sentences.append(
            f"The scores are means over {len(of.scores.examples)} examples; ± is their standard"
            " error. With another discovery set, heads with similar scores can have another order."
        )
    recipes = filters.distinct(of.rows, "what")
    missing = [recipe_name(name) for name in CONTROLS if name not in recipes]
    if "circuit" in recipes and missing:
        sentences.append(
            f"There are no runs here of: {', '.join(missing)}. A circuit is shown to matter only in"
            " comparison with such controls of the same size."
        )
    sentences.append(
        "A score measures how a head acts on these texts, by this method. Whether removing the head"
        " hurts is another question (mean ablation), and whether tuning it helps is a third."
    )
    return Section("How reliable this is", [Items(sentences)])


def row_chance(rows: list[Mapping]) -> str:
    counts = table.measured([row for row in rows if row["state"] in outcomes.ENDED])
    if not counts:
        return (
            "The runs do not all record the same number of rows for their accuracies, so they are"
            " not compared on the same rows."
        )
    sizes = " and ".join(f"{count} {plain_name(name)}" for name, count in counts.items())
    return (
        f"Accuracies were measured on {sizes} rows. Before and after, and runs of one seed, are"
        " compared on the same rows, by the texts that only one of them has right (exact McNemar"
        " test, p adjusted by Holm)."
    )


def seed_chance(rows: list[Mapping]) -> str:
    seeds = filters.distinct(rows, "seed")
    if len(seeds) == 1:
        return "All runs have the same seed. With other examples the order may be another one."
    return (
        f"{len(seeds)} seeds: intervals over so few seeds are rough, and hold only for these test"
        " rows."
    )


def commands(of: Exploration) -> Section:
    """The commands that repeat the exploration; for the trials of an experiment, the experiment's
    command.
    """
    sources = [of.score_run, of.faithfulness_run]
    sources += [experiment_or_run(row) for row in reversed(of.rows)]
    requests = [request_of(run) for run in sources if run]
    lines = list(dict.fromkeys(shell_command(request) for request in requests if request))
    if not lines:
        return Section("Run it again", [])
    blocks = [
        "Run these commands in this order. The same code, model, rows and seeds give the same"
        " numbers on the same kind of processor. Where a command names a run or a file of the"
        " machine on which it was written, use your own.",
        Code("\n".join(lines[:MAX_COMMANDS])),
    ]
    if len(lines) > MAX_COMMANDS:
        blocks.append(f"{len(lines) - MAX_COMMANDS} more commands are in the run folders.")
    if of.circuit and any(" --circuit " in line for line in lines):
        blocks.append("The circuit of this report as a file, for --circuit:")
        blocks.append(Code(session_circuit.file_text(of.circuit)))
    return Section("Run it again", blocks)


def experiment_or_run(row: Mapping) -> runs.Run | None:
    for run_id in filter(None, (row["experiment"], row["run"])):
        try:
            return runs.get(run_id)
        except UserError:  # deleted
            continue
    return None


def notes(of: Exploration) -> Section:
    rows = [[of.names[row["run"]], row["note"], row["run"]] for row in of.rows if row["note"]]
    if not rows:
        return Section("Notes", [])
    return Section("Notes", [Table("The notes on the runs.", ["run", "note", "folder"], rows)])
