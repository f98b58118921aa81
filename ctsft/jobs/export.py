"""A tuned model as an ordinary Hugging Face folder, the run's delta merged into its base, or as a
LoRA adapter of the base; with a model card that says how it was made.
"""

import os
import shlex
import tempfile
from pathlib import Path

from ctsft import runs
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.circuit.mib_importances import export_importances
from ctsft.data.registry import load_task
from ctsft.jobs.command_line import shell_command
from ctsft.jobs.hub_upload import check_upload, upload
from ctsft.jobs.reporter import finish
from ctsft.jobs.requests import ExportForm, ExportRequest, needed_request
from ctsft.model.loading import load_model
from ctsft.model.model import Model
from ctsft.model.model_files import BUNDLED_MODELS
from ctsft.runs import results
from ctsft.runs.answers import ends
from ctsft.runs.writer import Writer
from ctsft.tuning.delta import Delta, apply_delta
from ctsft.tuning.peft_adapter import adapter_of, check_new_folder
from ctsft.tuning.recipes import RECIPES
from ctsft.tuning.shares import check_share
from ctsft.utils.atomic_files import atomic_path, write_bytes, write_text
from ctsft.utils.errors import UserError

# of the run's summary
CARD_FIELDS = {"history", "config", "source", "trainable", "total", "task", "n", "rows"}
LIBRARIES = {"model": "transformers", "peft": "peft", "delta": "ctsft", "circuit": "ctsft"}
USAGE = {
    "model": "from transformers import {auto}\n\nmodel = {auto}.from_pretrained(FOLDER)",
    "peft": (
        "import torch\nfrom peft import PeftModel\nfrom transformers import {auto}\n\n"
        "base = {auto}.from_pretrained(BASE, dtype=torch.float32)\n"
        "model = PeftModel.from_pretrained(base, FOLDER)"
    ),
    "delta": (
        "import ctsft\n\n"
        'model = ctsft.apply_delta(ctsft.load_model(BASE), f"{{FOLDER}}/delta.safetensors")'
    ),
    "circuit": (
        'import ctsft\n\ncircuit = ctsft.Circuit.load(f"{{FOLDER}}/circuit.json")\n'
        "print(sorted(circuit.heads))"
    ),
}
SCORES = "scores.safetensors"
CARD = Path(__file__).with_name("templates") / "model_card.md"


def export(run_id: str, folder, share: float = 1.0, form: ExportForm = "model") -> Path:
    """Write what a run made to a new folder, with a model card; returns the folder. `form`:
    "model", the tuned model, or one with a share of its change, that plain transformers loads;
    "peft", the change as an adapter that plain peft loads; "delta" or "circuit", its file;
    "importances", the scores of a scoring run for MIB's circuit track (no card).

    Raises UserError for a run without a delta or with one that is no adapter, a share outside 0 to
    1, a folder that holds something, or a base model that is not the one that was tuned.
    """
    run = scored(run_id) if form == "importances" else exportable(run_id)
    folder = Path(folder)
    check_new_folder(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder, "the exported model") as part:
        part.mkdir()
        write_folder(run, part, share, form)
    return folder


def push(
    run_id: str, repo: str, share: float = 1.0, form: ExportForm = "model", private: bool = False
) -> str:
    """Upload what `export` writes to a repository of the hub; returns its address. Nothing in it
    names a folder of this machine. UserError as for `export`, and where nobody is logged in.
    """
    if form == "importances":
        raise UserError(
            "Importances are written to a folder with --to, not uploaded: MIB wants one repository"
            " with a folder for each task and model."
        )
    check_upload(repo)
    run = exportable(run_id)
    with tempfile.TemporaryDirectory(prefix="ctsft-upload-") as folder:
        write_folder(run, Path(folder), share, form, public=True)
        return upload(Path(folder), repo, private)


def exportable(run_id: str) -> runs.Run:
    """The run, which has a delta and all that a model card says. UserError for any other."""
    run = runs.get(run_id)
    if not run.file("delta.safetensors").is_file() or not results.result(run):
        raise UserError(
            f"Run {run_id!r} has no tuned model to export: it is a run of kind {run.request.kind!r}"
            f" in state {run.status().state!r}; name a fine-tuning run that is done or was stopped"
            " (see `python -m ctsft compare`)."
        )
    missing = CARD_FIELDS - results.result(run).keys()
    if missing:
        raise UserError(
            f"The result.json of run {run_id!r} lacks {min(missing)!r}, which the model card says;"
            " tune again."
        )
    return run


def scored(run_id: str) -> runs.Run:
    """A run that scored heads. UserError for any other."""
    run = runs.get(run_id)
    if run.request.kind not in ("score", "discover") or not run.file(SCORES).is_file():
        raise UserError(
            f"Run {run_id!r} has no scores to export: it is a run of kind {run.request.kind!r} in"
            f" state {run.status().state!r}; name a finished run of `score` or `discover`."
        )
    return run


def write_importances(run: runs.Run, folder: Path, share: float):
    """The scores of a run, with its circuit if it has one, into a folder that exists."""
    if share != 1:
        raise UserError(f"share is {share:g}, and scores have no share; leave --share out.")
    circuit = run.file("circuit.json")
    model = load_model(base_path(run), "cpu", needed_request(run).subject.dtype)
    export_importances(
        Scores.load(run.file(SCORES)),
        model,
        folder,
        Circuit.load(circuit) if circuit.is_file() else None,
    )


def write_folder(run: runs.Run, folder: Path, share: float, form: ExportForm, public: bool = False):
    """Write the model, adapter, delta or circuit, its card and its circuit into a folder that
    exists. `public`: without the paths of this machine.
    """
    if form == "importances":
        write_importances(run, folder, share)
        return
    model = load_model(base_path(run), "cpu", needed_request(run).subject.dtype)
    delta, circuit = run.file("delta.safetensors"), run.file("circuit.json")
    check_share(share)
    if form == "circuit" and not circuit.is_file():
        raise UserError(f"Run {run.id!r} trained no circuit; choose another format.")
    if form == "peft":
        adapter = adapter_of(model, delta, share)
        base = adapter.config.base_model_name_or_path
        if public and os.path.isabs(base):
            adapter.config.base_model_name_or_path = Path(base).name
        adapter.save(folder)
    elif form == "delta":
        Delta.load(delta).scaled(share).save(folder / delta.name)
    elif form == "model":
        model = apply_delta(model, delta, share)
        save_folder(model, folder)
    write_text(folder / "README.md", card(run, model, share, form, public))
    if circuit.is_file():
        write_bytes(folder / circuit.name, circuit.read_bytes())


def export_run(run: Writer, request: ExportRequest) -> dict:
    """The export as a job of its own, which a page watches."""
    run.progress(0, 1, "writing the folder")
    folder = export(request.tuned, request.to, request.share, request.format)
    return finish(run, {"tuned": request.tuned, "folder": str(folder)})


def save_folder(model: Model, folder: Path):
    model.hf.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        # safetensors leaves weights readable by their owner only
        path.chmod(0o644)


def base_path(run: runs.Run) -> str:
    """Where the model that a run tuned is loaded from: its name, or its folder as the run's own
    working directory had it.
    """
    request = needed_request(run)
    name = request.facts.model or request.subject.model
    local = Path(request.cwd) / name
    return str(local) if name not in BUNDLED_MODELS and local.is_dir() else name


def card(run: runs.Run, model: Model, share: float, form: ExportForm, public: bool = False) -> str:
    """The README.md of an exported folder. `public`: of folders of this machine only the names."""
    request, done = needed_request(run), results.result(run)
    tuning, subject = request.tuning, request.subject
    hub = subject.model not in BUNDLED_MODELS and not (Path(request.cwd) / subject.model).exists()
    base = subject.model if hub else Path(subject.model).name
    task = load_task(subject.task, subject.data_dir)
    split, before, after = figures(run)
    settings = {**done["config"], "steps": done["history"][-1]["step"]}
    return CARD.read_text(encoding="utf-8").format(
        pipeline="text-classification" if model.classes else "text-generation",
        library=LIBRARIES[form],
        use=usage(model, form),
        base=base,
        base_line=f"base_model: {subject.model}\n" if hub else "",
        title=f"{base} tuned on {tuning.target} ({tuning.what})",
        target=tuning.target,
        source=done["source"],
        share=f"{done['trainable'] / done['total']:.2%}",
        what=tuning.what,
        says=RECIPES[tuning.what].description,
        rest=rest_words(run),
        part=part_words(run, share),
        trainable=done["trainable"],
        total=done["total"],
        heads=heads_words(run),
        task=done["task"],
        n=done["n"],
        split=subject.split,
        seed=done["config"]["seed"],
        eval_split=split,
        rows=", ".join(f"{of['rows']} {name}" for name, of in after.items()),
        prompt=task.prompt,
        labels=", ".join(f"`{label}`" for label in task.labels),
        figures="\n".join(
            f"| {name} | {of['accuracy']:.3f} | {after[name]['accuracy']:.3f} |"
            for name, of in before.items()
        ),
        settings=", ".join(f"{name} {value}" for name, value in settings.items()),
        command=public_command(shell_command(request)) if public else shell_command(request),
        version=request.facts.version,
        fingerprint=request.facts.model_fingerprint,
    )


def public_command(command: str) -> str:
    """A command whose absolute paths are cut to their last name."""
    words = [Path(word).name if os.path.isabs(word) else word for word in shlex.split(command)]
    return shlex.join(words)


def usage(model: Model, form: ExportForm) -> str:
    """The lines of Python that load the folder."""
    auto = "AutoModelForSequenceClassification" if model.classes else "AutoModelForCausalLM"
    return USAGE[form].format(auto=auto)


def figures(run: runs.Run) -> tuple[str, dict, dict]:
    """The split that a run's figures are of, and {language: metrics} before and after."""
    done = results.result(run)
    final = done.get("final")
    return final["split"] if final else needed_request(run).tuning.eval_split, *ends(done)


def part_words(run: runs.Run, share: float) -> str:
    """Which share of the change the folder holds, and what it measured; "" for all of it."""
    if share == 1:
        return ""
    text = (
        f"\n\nThis model has {share:g} of that change: w0 + {share:g} (w1 - w0), where w0 is the"
        " base model. The figures below are of all of it"
    )
    measured = results.result(run).get("shares") or {"points": []}
    for point in measured["points"]:
        if point["share"] == share:
            figures = ", ".join(f"{name} {one:.3f}" for name, one in point["accuracy"].items())
            return f"{text}; of this share, on {measured['split']} rows: {figures}."
    return f"{text}; this share was not measured."


def rest_words(run: runs.Run) -> str:
    """What became of the other parameters."""
    adapted = any(
        name.endswith(":left") for name in Delta.load(run.file("delta.safetensors")).tensors
    )
    if adapted:
        return (
            "They are low-rank adapters, merged into the matrices they adapt; every other matrix"
            " has the base model's bits."
        )
    done = results.result(run)
    return (
        "Every other parameter has the base model's bits."
        if done["trainable"] < done["total"]
        else ""
    )


def heads_words(run: runs.Run) -> str:
    if not run.file("circuit.json").is_file():
        return ""
    circuit = Circuit.load(run.file("circuit.json"))
    rule = ", ".join(f"{name} {value}" for name, value in circuit.rule.items()) or "by hand"
    rows = "\n".join(
        f"| {layer} | {head} | {circuit.why.get((layer, head), '')} |"
        for layer, head in sorted(circuit.heads)
    )
    return (
        f"\n## Circuit\n\n{len(circuit)} heads ({rule}), in `circuit.json`:\n\n| layer | head | why"
        f" |\n|---|---|---|\n{rows}\n"
    )
