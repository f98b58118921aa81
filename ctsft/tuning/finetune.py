"""Circuit-targeted supervised fine-tuning (CT-SFT, arXiv 2601.08146): tune on the target language,
watch the source.

transformers' Trainer does the training, and `masked_training` limits it to the trainable
parameters. Accuracy on every evaluation set is measured before the first step, at an interval and
at the end; each evaluation is one row, passed to the caller as it happens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from ctsft.circuit.circuit import Circuit
from ctsft.data.task import Example, Task
from ctsft.model.kv_expansion import expand
from ctsft.model.loading import as_model
from ctsft.model.model import Model
from ctsft.tuning.checkpoints import history_of, newest_checkpoint, step_of, trainable_parameters
from ctsft.tuning.config import TuneConfig, training_arguments
from ctsft.tuning.delta import Delta, delta_of
from ctsft.tuning.evaluation_sets import EvaluationSet, check_sets
from ctsft.tuning.float32_copies import FirstValues, training_dtype
from ctsft.tuning.lora import Adapted, adapters
from ctsft.tuning.lora_settings import Lora
from ctsft.tuning.masked_training import masked_training
from ctsft.tuning.observer import NotFinite, Observer, Watch
from ctsft.tuning.parameter_masks import (
    PARTS_FILE,
    load_parts,
    mask_rows,
    save_parts,
    with_parts,
)
from ctsft.tuning.recipes import trainable_of
from ctsft.tuning.source_fisher import Encoded
from ctsft.tuning.source_keeping import SourceKeeping
from ctsft.tuning.trainable import Trainable
from ctsft.tuning.trainer import CircuitTrainer, Readout, collate
from ctsft.utils import distributed
from ctsft.utils.errors import UserError


@dataclass
class TuneResult:
    """What a tuning run came to.

    history: a row for each evaluation: {"step", "steps", "epoch", "loss", "accuracy": {set: share},
    "metrics": {set: metrics}, "seconds"}, and "perplexity": {set: {"perplexity", "tokens",
    "texts"}} where texts are measured; the loss is the mean since the row before, None at step 0.
    trainable, total: parameters trained, and parameters of the model that was passed. changed:
    how many of the trained ones have another value afterwards. delta: the trained parameters.
    model: the tuned model. stopped: whether it ended early. notes: what a reader should know.
    """

    history: list[dict] = field(default_factory=list)
    trainable: int = 0
    changed: int = 0
    total: int = 0
    stopped: bool = False
    model: Model | None = None
    delta: Delta | None = None
    notes: list[str] = field(default_factory=list)


def finetune(
    model,
    task: Task,
    circuit: Circuit | Trainable | str,
    train: list[Example],
    evaluate: dict[str, EvaluationSet],
    config: TuneConfig | None = None,
    watch: Watch | None = None,
    source: list[Example] | None = None,
) -> TuneResult:
    """Train what `circuit` names on the rows `train`, and measure the sets of `evaluate`, by name.

    evaluate: rows of the task, whose accuracy is measured; `TaskRows`, rows of a related task with
    its own prompt and labels; or `Texts`, whose perplexity is measured. The source comes first.

    circuit: a Circuit, a recipe that needs no heads ("norms", "full", "ssu", "lora"), or a
    Trainable (`trainable_of` makes one of any recipe). model: a Model or a path. It is changed in
    place: afterwards `model.hf` is the tuned one (`result.model` where a path was passed). With
    kv="expand", `result.model` is another, equal model in which each head owns its key/value rows,
    and `model` stays as it was.

    source: labelled rows of the source language that discovery may see (pool A of its training
    split), for a config that keeps the source (hold, replay, ewc, kl) and for "ssu". Replay draws
    from all of them, "ssu" reads at most `SHIELD_ROWS`, the others at most `FISHER_ROWS`.

    UserError without training rows, without source rows where they are needed, for a circuit of
    another model, for a related task whose labels the model cannot answer with, or (`NotFinite`)
    when the loss, a gradient or an answer becomes NaN or infinite; the model is then in its last
    good state.
    """
    original, config, watch = as_model(model), config or TuneConfig(), watch or Watch()
    trainable = trainable_from(original, circuit, config)
    if not train:
        raise UserError("There are no rows to train on; give at least one labelled example.")
    about = {"base": original.fingerprint, "what": trainable.name, "kv": config.kv}
    tokens = task.label_ids(original)
    check_sets(original, evaluate)

    def encoded(examples: list[Example]) -> Encoded:
        return [(task.encode(original, row), tokens[row.label]) for row in examples]

    model = expand(original) if config.kv == "expand" else original
    if trainable.mask:
        rows = encoded(mask_rows(task, trainable.mask, train, source))
        trainable = with_mask(model, trainable, rows, watch)
    keeping = SourceKeeping.of(model, task, source, encoded, config)
    observer = Observer(model, task, evaluate, config, watch)
    result = TuneResult(total=original.n_params, model=model)
    failure, dtype = None, model.dtype
    with training(model, trainable, config.lora) as adapted:
        keeping.begin(adapted.hf, trainable, watch.preparing)
        trainer = CircuitTrainer(
            model=Readout(adapted.hf),
            args=training_arguments(config, model, watch.folder),
            train_dataset=[*encoded(train), *keeping.replayed],
            data_collator=collate(model),
            callbacks=[observer, *keeping.callbacks],
        )
        trainer.follow(observer)
        trainer.keep_source(keeping)
        result.trainable = sum(value.numel() for _, value in trainable_parameters(adapted.hf))
        first = FirstValues(adapted.hf, dtype)
        try:
            run_trainer(trainer, watch)
        except NotFinite as error:
            failure = error
        finally:
            adapted.hf.eval()
        result.changed = first.changed(adapted.hf)
    Delta(about, adapted.factors).write(model)
    result.history = observer.history
    result.stopped = observer.stopped or failure is not None
    result.notes = rounding_notes(result, dtype)
    result.delta = delta_of(model, trainable, adapted.factors, about)
    if failure:
        failure.result = result
        raise failure
    return result


def rounding_notes(result: TuneResult, dtype: torch.dtype) -> list[str]:
    """A note where a narrow number format kept trained parameters from changing."""
    same = result.trainable - result.changed
    if training_dtype(dtype) == dtype or not same:
        return []
    name = str(dtype).removeprefix("torch.")
    return [
        f"{same:,} of {result.trainable:,} trained parameters have the same value as before: their"
        f" changes are smaller than the spacing of {name}. To keep such changes, tune with --dtype"
        " float32 (and --precision bf16 for speed)."
    ]


def trainable_from(
    model: Model, circuit: Circuit | Trainable | str, config: TuneConfig
) -> Trainable:
    """What `finetune` trains for a circuit, a recipe's name or a Trainable."""
    if isinstance(circuit, Trainable):
        return circuit
    if isinstance(circuit, Circuit):
        return trainable_of(model, "circuit", circuit, config.norms, config.extra)
    return trainable_of(model, circuit, None, config.norms, config.extra)


def with_mask(model: Model, trainable: Trainable, rows: Encoded, watch: Watch) -> Trainable:
    """The trainable with the parts that its mask chooses from the rows, or, in a resumed run, those
    that it trained before.
    """
    path = watch.folder and Path(watch.folder) / PARTS_FILE
    if watch.resume and path and path.exists():
        return replace(trainable, parts=load_parts(path))
    chosen = with_parts(model, trainable, rows, watch.preparing)
    if path and distributed.RANK == 0:
        save_parts(chosen.parts, path)
    return chosen


@contextmanager
def training(model: Model, trainable: Trainable, lora: Lora) -> Iterator[Adapted]:
    """Within, exactly the trainable parameters have gradients: LoRA adapters, or the model's own
    parameters (which leave no factors).
    """
    if trainable.adapted:
        with adapters(model, trainable, lora) as adapted:
            yield adapted
    else:
        with masked_training(model, trainable) as hf:
            yield Adapted(hf)


def run_trainer(trainer: CircuitTrainer, watch: Watch):
    """Train to the end, from the newest checkpoint if the run is resumed."""
    observer = trainer.observer
    observer.remember_state(0)
    checkpoint = newest_checkpoint(watch.folder) if watch.resume else None
    observer.restore(history_of(checkpoint))
    if watch.resume:
        watch.resumed(step_of(checkpoint) if checkpoint else 0, observer.history)
    trainer.train(resume_from_checkpoint=checkpoint)
