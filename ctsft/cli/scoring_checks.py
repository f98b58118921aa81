"""The shell's commands that check scores and circuits: faithfulness, validate."""

from typing import Annotated, Optional

import typer

from ctsft.cli.app import (
    AsJson,
    DataDir,
    Device,
    Dtype,
    Language,
    ModelName,
    NoCache,
    RunName,
    Seed,
    Size,
    Split,
    TaskName,
    app,
)
from ctsft.cli.run import execute
from ctsft.utils.errors import UserError


@app.command()
def faithfulness(
    scores: Annotated[
        str,
        typer.Option(
            help="Id of a scoring run, or a scores.safetensors beside its means.safetensors."
        ),
    ],
    circuit: Annotated[
        Optional[str], typer.Option(help="A circuit file; without one: the curve over sizes.")
    ] = None,
    sizes: Annotated[str, typer.Option(help="Sizes of the curve, such as 1,2,4,8.")] = "",
    n_random: Annotated[int, typer.Option("--random", help="Random circuits of each size.")] = 10,
    model: ModelName = "demo",
    task: TaskName = "demo",
    language: Language = None,
    split: Annotated[str, typer.Option("--split", help="Rows it is measured on.")] = "valid",
    data_dir: DataDir = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    name: RunName = "",
    as_json: AsJson = False,
):
    """How much of the task a circuit preserves when every other head is replaced by its mean.

    Example: python -m ctsft faithfulness --scores RUN --sizes 1,2,4,8 --random 20
    """

    from ctsft.jobs.requests import FaithfulnessRequest, Subject

    try:
        numbers = tuple(int(size) for size in sizes.split(",") if size.strip())
    except ValueError:
        raise UserError(
            f"--sizes {sizes!r} is not a list of numbers; write it like 1,2,4,8."
        ) from None
    request = FaithfulnessRequest(
        name=name,
        subject=Subject(model, task, data_dir, language, split, device, dtype),
        scores=scores,
        circuit=circuit,
        sizes=numbers,
        n_random=n_random,
    )
    execute(request, as_json)


@app.command()
def surrogate(
    scores: Annotated[
        str,
        typer.Option(
            help="Id of a scoring run, or a scores.safetensors beside its means.safetensors."
        ),
    ],
    circuits: Annotated[int, typer.Option(help="Circuits that are measured.")] = 300,
    rows: Annotated[int, typer.Option(help="Rows they are measured on, at most; 0: all.")] = 100,
    seed: Annotated[int, typer.Option(help="For the draw of circuits and rows.")] = 0,
    model: ModelName = "demo",
    task: TaskName = "demo",
    language: Language = None,
    split: Annotated[str, typer.Option("--split", help="Rows it is measured on.")] = "valid",
    data_dir: DataDir = None,
    no_cache: NoCache = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    name: RunName = "",
    as_json: AsJson = False,
):
    """Measure circuits once, so that the faithfulness of any other one is predicted at once.

    Example: python -m ctsft surrogate --scores RUN --circuits 300
    """

    from ctsft.jobs.requests import Subject, SurrogateRequest

    request = SurrogateRequest(
        name=name,
        subject=Subject(model, task, data_dir, language, split, device, dtype),
        scores=scores,
        circuits=circuits,
        rows=rows,
        seed=seed,
        cache=not no_cache,
    )
    execute(request, as_json)


@app.command()
def validate(
    methods: Annotated[
        str, typer.Option(help="Rankings to check, such as 'cdt,cdt frozen,ig'; default: all.")
    ] = "",
    rows: Annotated[
        int, typer.Option(help="Unseen rows that faithfulness is measured on, at most; 0: all.")
    ] = 100,
    n_random: Annotated[
        int, typer.Option("--random", help="Random circuits of each size; 0: none.")
    ] = 50,
    pools: Annotated[
        int, typer.Option(help="Discovery sets whose top heads are compared; 0: none.")
    ] = 10,
    model: ModelName = "demo",
    task: TaskName = "demo",
    language: Language = None,
    split: Split = "train",
    rows_split: Annotated[str, typer.Option(help="Split of the unseen rows.")] = "valid",
    templates: Annotated[
        Optional[str],
        typer.Option(help="A JSON list of prompts and label words whose circuits are compared."),
    ] = None,
    only_templates: Annotated[
        bool, typer.Option("--only-templates", help="Compare templates, and check no rankings.")
    ] = False,
    template_languages: Annotated[
        str,
        typer.Option(help="Translations of the same texts, with commas; default: the first three."),
    ] = "",
    template_pools: Annotated[
        int, typer.Option(help="Pools without a text in common, for templates.")
    ] = 3,
    template_seeds: Annotated[
        int, typer.Option(help="Discovery sets of each pool, for templates.")
    ] = 2,
    template_method: Annotated[
        str, typer.Option(help="The ranking that is compared over templates.")
    ] = "cdt",
    template_size: Annotated[
        int, typer.Option(help="Texts of a discovery set, for templates.")
    ] = 30,
    data_dir: DataDir = None,
    size: Size = 50,
    pool_seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    name: RunName = "",
    as_json: AsJson = False,
):
    """Check how true the scores are: against mean ablation, against random circuits, from pool to
    pool, and with templates from prompt to prompt and language to language.

    Example: python -m ctsft validate --model demo --task demo --random 20 --pools 4
    Example: python -m ctsft validate --templates examples/templates.json --template-method atp
    """

    from ctsft.data.templates import read_templates
    from ctsft.jobs.requests import Checks, Subject, TemplateChecks, ValidateRequest

    if only_templates and not templates:
        raise UserError("--only-templates needs templates to compare; name them with --templates.")
    rankings = tuple(ranking.strip() for ranking in methods.split(",") if ranking.strip())
    checks = Checks(
        **({"methods": rankings} if rankings else {}),
        size=size,
        seed=pool_seed,
        rows=rows,
        n_random=n_random,
        pools=pools,
    )
    request = ValidateRequest(
        name=name,
        subject=Subject(model, task, data_dir, language, split, device, dtype),
        checks=checks,
        rows_split=rows_split,
        templates=TemplateChecks(
            templates=read_templates(templates) if templates else (),
            languages=tuple(filter(None, map(str.strip, template_languages.split(",")))),
            pools=template_pools,
            seeds=template_seeds,
            method=template_method,
            size=template_size,
        ),
        templates_file=templates,
        only_templates=only_templates,
    )
    execute(request, as_json)
