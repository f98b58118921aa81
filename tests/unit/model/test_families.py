"""Every family and head: the walk replays Hugging Face's own model, and scores are the oracle's, in
padded batches.

Float64 here is `tiny.exact`: Hugging Face's RMSNorm, RoPE angles and eager softmax cast to float32
in any model, which alone costs about 1e-7; with those casts taken out the replay agrees to 1e-9 and
better.
"""

import pytest
import torch

from ctsft.attribution import scoring_pass
from ctsft.attribution.cdt import Propagation
from ctsft.attribution.means import label_balanced_means
from ctsft.attribution.score_heads import score_heads
from ctsft.model import batching
from ctsft.model.attention import tapped
from ctsft.model.batching import pad
from ctsft.model.families import FAMILIES
from ctsft.model.forward import attention_pattern, readout_logits, record
from ctsft.model.loading import wrap
from ctsft.model.model import Model
from ctsft.model.replay import replay_error
from oracle import naive
from oracle.comparison import ROWS, error, expected
from oracle.naive_readers import READERS
from support.tasks import LABELS
from support.tiny import DECODERS, ENCODERS, exact, tiny

CASES = [(family, "causal", {}) for family in DECODERS] + [
    (family, "classes", {}) for family in ENCODERS
]


CASES += [(family, "classes", {}) for family in ("gpt2", "gpt_neox", "llama", "qwen2", "gemma2")]


CASES += [
    ("gpt_neox", "causal", {"use_parallel_residual": False}),
    ("mistral", "causal", {"sliding_window": 3, "head_dim": 12}),
    (
        "qwen2",
        "causal",
        {
            "use_sliding_window": True,
            "sliding_window": 3,
            "max_window_layers": 1,
            "tie_word_embeddings": True,
        },
    ),
    ("gpt2", "causal", {"activation_function": "relu"}),
    ("bert", "classes", {"hidden_act": "gelu_new"}),
]


each_case = pytest.mark.parametrize(
    ("family", "kind", "changes"),
    CASES,
    ids=lambda case: "-".join(case) if isinstance(case, dict) else str(case),
)


IDS = [[5, 9, 31, 60, 2, 44, 17], [3, 7, 12], [8, 20, 33, 41, 50]]


def in_memory(family: str, kind: str, changes: dict, tokenizer, **more):
    return wrap(
        tiny(family, kind=kind, vocab_size=len(tokenizer), **changes, **more), tokenizer, family
    )


def test_every_supported_family_is_in_the_matrix():
    assert set(FAMILIES) == {family for family, _, _ in CASES} == set(READERS)


@each_case
@torch.no_grad()
def test_the_replay_in_float64(family, kind, changes):
    """Padded together, against texts on their own in the model as Hugging Face runs it."""
    hf = exact(tiny(family, kind=kind, **changes))
    # [1, pos, vocab] or [1, class]
    alone = [hf(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids))).logits for ids in IDS]
    theirs = torch.stack([logits.flatten(0, -2)[-1] for logits in alone])
    hf.set_attn_implementation("ctsft")
    model = Model(hf, None)
    trace = record(model, pad(IDS, "cpu", reads_first=model.architecture.reads_first))
    assert (trace.logits - theirs).abs().max() < 1e-9 and theirs.std() > 1e-2
    assert replay_error(model, trace) < 1e-9
    whole = Propagation(model, trace).attention
    assert whole == "softmax" and trace.logits.dtype == torch.float64


@each_case
@torch.no_grad()
def test_patterns_and_outputs_of_heads(family, kind, changes):
    """Rows of the pattern sum to one over what is visible, and z is what the output projection
    reads.
    """
    model, read = Model(wrap(tiny(family, kind=kind, **changes), None).hf, None), []
    hooks = [
        block.o.module.register_forward_pre_hook(lambda module, args: read.append(args[0]))
        for block in model.blocks
    ]
    trace = record(model, pad(IDS, "cpu", reads_first=model.architecture.reads_first))
    for hook in hooks:
        hook.remove()
    for layer in range(model.n_layers):
        assert torch.equal(trace.z[layer].flatten(-2), read[layer])
        weights = attention_pattern(trace, layer)[1, :, :3]
        assert (
            torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-5)
            and weights[..., 3:].abs().max() == 0
        )
        assert (weights[:, 0, 1:].max() > 0) == (family in ENCODERS)


@each_case
def test_scores_are_the_oracles(family, kind, changes, tokenizer, task, monkeypatch):
    """Every head, both attention rules, one padded batch."""
    model = in_memory(family, kind, changes, tokenizer)
    whole = batching.batches
    monkeypatch.setattr(
        scoring_pass,
        "batches",
        lambda model, encoded, budget: whole(model, encoded, 10**6, padding=0.9),
    )
    means = label_balanced_means(model, task, ROWS)
    for attention in ("softmax", "frozen"):
        mine = score_heads(
            model, task, ROWS, means, attention=attention, batch_tokens=10**6
        ).per_example
        assert error(mine, expected(model, task, means, attention=attention)) < 1e-4


@each_case
def test_head_targets_are_the_oracles(family, kind, changes, tokenizer, task):
    model = in_memory(family, kind, changes, tokenizer)
    means, targets, labels = (
        label_balanced_means(model, task, ROWS),
        ((2, 1), (2, 3)),
        task.label_ids(model),
    )
    mine = score_heads(model, task, ROWS[:1], means, targets=targets).per_example[0]
    ids, gold = task.encode(model, ROWS[0]), labels[ROWS[0].label]
    theirs = torch.tensor(
        [
            naive.head_target_relevance(
                model.hf,
                ids,
                gold,
                list(labels.values()),
                (1, head),
                targets,
                means.values[1, head].double(),
            )
            for head in range(4)
        ]
    )
    assert error(mine[1], theirs.double()) < 1e-4 and mine[2].isnan().all()


@each_case
def test_mean_ablation_is_a_plain_forward_hook(family, kind, changes, tokenizer, task):
    """The head's slice of what the output projection reads is overwritten, text by text, in the
    model as it is.
    """
    model = in_memory(family, kind, changes, tokenizer)
    means, labels, d = label_balanced_means(model, task, ROWS), task.label_ids(model), model.d_head
    mine = score_heads(model, task, ROWS, means, "ablation").per_example
    for layer, head in ((0, 1), (2, 3)):
        for i, row in enumerate(ROWS):
            batch = pad(
                [task.encode(model, row)], "cpu", reads_first=model.architecture.reads_first
            )

            def direction(batch=batch, row=row):
                with torch.no_grad():
                    logits = readout_logits(model.hf, batch)[0]
                return (
                    logits[labels[row.label]]
                    - torch.stack(
                        [logits[labels[label]] for label in LABELS if label != row.label]
                    ).mean()
                )

            def overwrite(module, args, layer=layer, head=head):
                z = args[0].clone()
                z[..., head * d : (head + 1) * d] = means.values[layer, head]
                return (z,)

            before = direction()
            hook = model.blocks[layer].o.module.register_forward_pre_hook(overwrite)
            drop = before - direction()
            hook.remove()
            assert abs(drop - mine[i, layer, head]) < 2e-4 * mine.abs().max()


@pytest.mark.parametrize(("family", "kind", "changes"), CASES)
def test_attribution_patching_is_the_oracles(family, kind, changes, tokenizer, task):
    model = in_memory(family, kind, changes, tokenizer)
    means, labels = label_balanced_means(model, task, ROWS), task.label_ids(model)
    mine = score_heads(model, task, ROWS[:2], means, "atp").per_example
    theirs = torch.stack(
        [
            naive.attribution_patching(
                model.hf,
                task.encode(model, row),
                labels[row.label],
                list(labels.values()),
                means.values.double(),
            )
            for row in ROWS[:2]
        ]
    )
    assert error(mine, theirs.double()) < 1e-3


def test_classes_are_labels_by_name_or_in_order(task, tokenizer):
    model = in_memory("bert", "classes", {}, tokenizer)
    assert model.classes == ["LABEL_0", "LABEL_1", "LABEL_2"] and task.label_ids(model) == {
        "negative": 0,
        "neutral": 1,
        "positive": 2,
    }
    model.hf.config.id2label = {0: "Positive", 1: "negative", 2: "neutral"}
    assert task.label_ids(model) == {"negative": 1, "neutral": 2, "positive": 0}
    model.hf.config.id2label = {0: "good", 1: "negative", 2: "neutral"}
    with pytest.raises(
        ValueError,
        match=(
            "classes are 'good', 'negative', 'neutral', and the task's label 'positive' is none of"
            " them"
        ),
    ):
        task.label_ids(model)


def test_an_encoder_without_classes_is_refused():
    import transformers as tf

    config = tf.AutoConfig.for_model(
        "bert", hidden_size=32, num_attention_heads=4, num_hidden_layers=1, vocab_size=61
    )
    hf = tf.AutoModelForMaskedLM.from_config(config)
    with pytest.raises(ValueError, match="encoder .bert. without a sequence-classification head"):
        wrap(hf, None)


def test_the_tap_sees_every_head_of_every_family(tokenizer, task):
    for family, kind, changes in CASES[: len(FAMILIES)]:
        model, seen = in_memory(family, kind, changes, tokenizer), []
        with torch.no_grad(), tapped(lambda call, z, seen=seen: (seen.append(z.shape[2:]), z)[1]):
            readout_logits(model.hf, pad(IDS, "cpu", reads_first=model.architecture.reads_first))
        assert seen == [(4, model.d_head)] * 3
