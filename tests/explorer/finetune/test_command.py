"""The request of the Fine-tune page: every setting, exactly; the number of trained parameters; what
is missing for a start.
"""

from dataclasses import replace

import pytest

import ctsft
from ctsft import runs
from ctsft.jobs.command_line import arguments
from ctsft.jobs.experiment_design import Trial
from ctsft.jobs.requests import AdviseRequest, FinetuneRequest, TrialOf, Tuning, request_of
from ctsft.model import kv_expansion
from ctsft.tuning import trainable
from ctsft.tuning.recipes import RECIPES, trainable_of
from explorer.finetune import command, trained_heads, trained_parameters
from explorer.finetune.command import HeadSources
from explorer.session import circuit as session_circuit
from explorer.session import inputs, next_runs, score_runs
from explorer.session import view as session_view
from explorer.text import run_names
from support.finetune_page import score
from support.shell import parsed
from support.tasks import cued


@pytest.fixture
def sources(view) -> HeadSources:
    scored = score(view)
    scores = score_runs.scores_of(scored)
    return HeadSources(scored, scores, ctsft.select(scores, "top", k=2))


@pytest.mark.parametrize("what", command.OFFERED)
def test_the_command_asks_for_what_the_page_says(view, sources, what):
    """Read by the shell itself, the words give the very settings that the run's request names."""
    view = replace(
        view,
        what=what,
        kv="expand",
        norms=False,
        lora_rank=3,
        lora_targets=["o", "up"],
        weight_decay=0.1,
        accumulate=2,
        precision="bf16",
        eval_every=4,
        related=["indonesian"],
        related_tasks="topic.json \n\nxnli:german\n",
        perplexity=True,
        text_file=" words.txt ",
        pool="B",
        eval_split="valid",
        final_split="test",
        base="some/base",
    )
    file = session_circuit.write_circuit(sources.circuit)
    request = command.request(view, sources, file, "a name")
    assert parsed(arguments(request)) == request
    assert request.subject == view.subject and request.config == command.config(view)
    assert request.name == "a name"
    tuning = request.tuning
    assert tuning.related_tasks == ("topic.json", "xnli:german")
    assert (tuning.perplexity, tuning.text) == (True, "words.txt")
    assert request.scoring.seed == (view.tune_seed if what == "random" else 0)
    config = request.config
    assert (config.kv, config.norms) == (
        ("expand", False) if what in command.SLICES else ("group", True)
    )
    assert config.lora_rank == (3 if what in command.ADAPTERS else 8)


def test_settings_left_alone_are_not_named(view, sources):
    words = arguments(command.request(view, sources, "c.json"))
    assert [word[2:] for word in words if word.startswith("--")] == [
        "model",
        "task",
        "language",
        "target",
        "what",
        "n",
        "epochs",
        "lr",
        "batch",
        "seed",
        "checkpoint-every",
        "circuit",
    ]
    assert tuple(command.OFFERED) == tuple(dict.fromkeys(command.OFFERED)) and set(
        command.OFFERED
    ) == set(RECIPES) - {"edited"}
    assert set(run_names.RECIPES) == set(RECIPES)


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("circuit", {}),
        ("near_zero", {"norms": False}),
        ("least", {"kv": "expand"}),
        ("norms", {}),
        ("full", {}),
        ("direct", {}),
        ("ssu", {}),
        ("lora", {"lora_rank": 3}),
        ("lora_circuit", {"lora_targets": ["q", "o"]}),
    ],
)
def test_the_count_is_of_the_parameters_that_are_trained(view, sources, what, changes):
    view = replace(view, what=what, **changes)
    model = ctsft.load_model(view.model, device="cpu")
    choice = trained_parameters.heads(view, sources)
    rows = cued(3)
    moves = trainable_of(model, what, choice if RECIPES[what].needs_heads else None, view.norms)
    result = ctsft.finetune(
        model,
        ctsft.load_task(view.task),
        moves,
        rows,
        {},
        command.config(view).model_copy(update={"epochs": 1}),
        source=cued(6, 1),
    )
    assert trained_parameters.count(view, inputs.load_model(view.model), choice) == result.trainable
    outlined = trained_parameters.outlined(view, model, choice)
    layers = {layer for layer, _ in sources.circuit.heads}
    expected = {
        "lora": set(model.heads),
        "lora_circuit": {head for head in model.heads if head[0] in layers},
    }
    assert outlined.heads == expected.get(what, choice.heads)
    sharing = trained_parameters.sharing_heads(view, model, choice)
    assert bool(sharing) == (what in ("circuit", "near_zero"))


def test_expanded_counts_are_of_the_expanded_model(view, sources):
    model, heads = inputs.load_model(view.model), sources.circuit.heads
    count = trained_parameters.count(replace(view, kv="expand"), model, sources.circuit)
    assert (
        count
        == trainable.trainable_count(kv_expansion.expand(model), heads)
        == trainable.trainable_count(model, heads, "expand")
    )


def test_what_stands_in_the_way_is_one_sentence(view, sources):
    assert command.missing(view, sources) == ""
    assert command.missing(replace(view, what="norms"), HeadSources()) == ""
    assert "Score them on the Relevance page" in command.missing(view, HeadSources())
    assert "no heads" in command.missing(
        view, replace(sources, circuit=ctsft.select(sources.scores, "none"))
    )
    assert "at least one map" in command.missing(
        replace(view, what="lora", lora_targets=[]), sources
    )
    assert "competence stage" in command.missing(replace(view, what="direct"), sources)
    assert command.missing(replace(view, what="direct", base="some/folder"), sources) == ""
    assert command.missing(session_view.View(what="direct"), sources) == ""
    advised = replace(view, what="advised")
    assert trained_parameters.heads(advised, sources) is None, "chosen when the run starts"
    assert trained_parameters.count(advised, inputs.load_model(view.model), None) is None
    fggm = replace(view, what="fggm")
    assert trained_parameters.count(fggm, inputs.load_model(view.model), None) is None
    assert "rows that it trains on" in trained_heads.chosen_later("fggm")
    assert "test rows" in command.missing(replace(view, what="ssu", split="test"), sources)


def test_advice_on_the_very_rows_is_used_and_other_advice_is_not(view, sources):
    from ctsft.jobs.advice import advise

    weights = inputs.load_model(view.model).fingerprint
    subject = replace(view.subject, language=view.source)
    view = replace(view, what="advised")
    assert command.advice_run(view, weights) is None
    request = AdviseRequest(subject=subject, target=view.target, k=2, n=view.n, seed=view.tune_seed)
    with runs.record(request) as run:
        advise(run, request)
    advice = command.advice_run(view, weights)
    assert advice.id == run.id
    assert command.advice_run(replace(view, n=12), weights) is None
    assert command.advice_run(replace(view, pool="B"), weights) is None
    sources = replace(sources, advice_run=advice)
    tuning = command.request(view, sources, None).tuning
    assert (tuning.advice, tuning.k) == (run.id, 2)
    assert len(trained_parameters.heads(view, sources)) == 2


def test_everything_again_keeps_all_settings_but_what_is_trained(view, sources):
    view = replace(view, kv="expand", norms=False, what="near_zero", weight_decay=0.1)
    request = command.request(view, sources, None, "mine")
    with runs.record(request) as run:
        pass
    again = next_runs.control(run, "full")
    assert (again.tuning.what, again.config.weight_decay, again.name) == ("full", 0.1, "")
    assert again.subject == request.subject and again.tuning.target == request.tuning.target
    assert (again.config.kv, again.config.norms, again.tuning.scores) == ("group", True, None)


def test_direct_runs_are_listed_with_the_model_that_was_asked_for(view):
    subject = replace(view.subject, model="base")
    for what, asked in (("direct", view.subject), ("full", subject)):
        tuning = Tuning(target=view.target, what=what)
        with runs.record(FinetuneRequest(subject=asked, tuning=tuning)) as run:
            run.add_facts(model="base")
    assert [request_of(run).tuning.what for run in command.listed(view)] == ["direct"]
    trial = Trial(setting="one", method="full", target=view.target, n=4, seed=1, learning_rate=1e-3)
    part = TrialOf(run="x", trial=trial)
    with runs.record(FinetuneRequest(subject=view.subject, tuning=tuning, trial_of=part)):
        pass
    assert len(command.listed(view)) == 1, "an experiment's trials have a table of their own"


@pytest.mark.parametrize(
    ("what", "changes", "hold"),
    [
        ("full", {}, 9.0),
        ("direct", {}, 9.0),
        ("circuit", {}, 0.0),
        ("full", {"hold_everything": "off"}, 0.0),
        ("near_zero", {"hold_part": "strong", "hold_everything": "weak"}, 90.0),
    ],
)
def test_the_source_is_held_by_default_where_everything_is_trained(
    view, sources, what, changes, hold
):
    view = replace(view, what=what, base="some/base", **changes)
    request = command.request(view, sources, "c.json")
    assert request.config.hold == hold and ("--hold" in arguments(request)) == (hold > 0)
    assert not command.missing(view, sources)
    refused = command.missing(replace(view, split="test"), sources)
    assert ("never held by test rows" in refused) == (hold > 0)
