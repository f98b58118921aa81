"""One head on one text, against Hugging Face's own attentions, a plain forward hook, and the scores
the parts belong to.
"""

import pytest
import torch
from transformers import AutoModelForCausalLM

from ctsft.attribution.direct_effect import direct_effect, vector_to_logits
from ctsft.attribution.head_view import view_head
from ctsft.attribution.means import label_balanced_means
from ctsft.attribution.position_relevance import position_relevance
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.score_heads import score_heads
from ctsft.attribution.scoring_pass import ScoringPass, single_batch
from ctsft.data.task import Example
from ctsft.model.batching import pad
from ctsft.model.evaluation import direction_weights
from ctsft.model.forward import record
from ctsft.model.loading import wrap
from ctsft.utils.errors import UserError
from support.tasks import LABELS, PROMPT, agreed
from support.tiny import tiny

ROW = [5, 9, 31, 60, 2, 17, 8]


SETTINGS = ScoreConfig(positions="all")


@pytest.fixture(scope="module")
def known(loaded, task):
    """A model, correctly predicted rows, and their means."""
    model = loaded["qwen2"]
    rows = agreed(model, task, 4)
    return model, rows, label_balanced_means(model, task, rows)


@pytest.mark.parametrize("head", [(0, 1), (2, 3)])
def test_the_pattern_is_hugging_faces(known, task, folders, head):
    model, rows, means = known
    view = view_head(model, task, rows[0], means, head, "atp")
    eager = AutoModelForCausalLM.from_pretrained(folders["qwen2"], attn_implementation="eager")
    with torch.no_grad():
        theirs = eager(
            torch.tensor([task.encode(model, rows[0])]), output_attentions=True
        ).attentions
    assert (view.attention - theirs[head[0]][0, head[1]]).abs().max() < 1e-5
    # another head's is another one
    assert (view.attention - theirs[head[0]][0, head[1] - 1]).abs().max() > 1e-3
    assert (
        "".join(view.pieces) == f"{rows[0].text} | sentiment:"
        and len(view.pieces) == len(view.attention) == view.readout + 1
    )


def test_the_direct_effect_is_what_a_plain_hook_gives(build):
    """GPT-2 by hand: c_proj's input at the last token, this head's rows of c_proj, the centred
    final norm with the pass's own scale.
    """
    model, seen = build("gpt2"), {}
    hf = model.hf
    hooks = [
        hf.transformer.h[1].attn.c_proj.register_forward_pre_hook(
            lambda _, args: seen.update(z=args[0])
        ),
        hf.transformer.ln_f.register_forward_pre_hook(lambda _, args: seen.update(x=args[0])),
    ]
    with torch.no_grad():
        hf(torch.tensor([ROW]))
        [hook.remove() for hook in hooks]
        z, x = seen["z"][0, -1, 16:24], seen["x"][0, -1]
        o = z @ hf.transformer.h[1].attn.c_proj.weight[16:24]
        norm = hf.transformer.ln_f
        by_hand = hf.lm_head.weight @ (
            (o - o.mean()) / (x.var(unbiased=False) + norm.eps).sqrt() * norm.weight
        )
        effect = direct_effect(model, record(model, pad([ROW], "cpu")), (1, 2))
    assert (effect - by_hand).abs().max() < 1e-5 * by_hand.abs().max() and by_hand.std() > 1e-2


def norms_on_the_way(hf, family: str) -> list:
    """The norms between the output projection of layer 1 and the logits that the straight path
    passes.
    """
    if family == "bert":
        layers = hf.bert.encoder.layer[1:]
        return [
            norm
            for layer in layers
            for norm in (layer.attention.output.LayerNorm, layer.output.LayerNorm)
        ]
    return [hf.model.layers[1].post_attention_layernorm, hf.model.norm]


@pytest.mark.parametrize("family", ["gemma2", "olmo2", "bert"])
def test_norms_behind_the_projection_and_the_addition_by_hand(family):
    hf, inputs, seen = tiny(family), {}, {}
    model = wrap(hf, None, family)
    at = 0 if family == "bert" else -1
    norms = norms_on_the_way(hf, family)
    hooks = [
        norm.register_forward_pre_hook(lambda module, args: inputs.update({module: args[0][0, at]}))
        for norm in norms
    ]
    hooks.append(
        model.blocks[1].o.module.register_forward_pre_hook(
            lambda _, args: seen.update(z=args[0][0, at, 16:24])
        )
    )
    with torch.no_grad():
        trace = record(model, pad([ROW], "cpu", reads_first=family == "bert"))
        [hook.remove() for hook in hooks]
        x = model.blocks[1].o.module.weight[:, 16:24] @ seen["z"]
        for norm in norms:
            whole, bert = inputs[norm], family == "bert"
            x = x - x.mean() if bert else x
            size = (
                whole.var(unbiased=False) + norm.eps
                if bert
                else whole.pow(2).mean()
                + getattr(norm, "eps", getattr(norm, "variance_epsilon", 0))
            )
            x = x / size.sqrt() * (norm.weight + (family == "gemma2"))
        last = [hf.bert.pooler.dense, hf.classifier] if family == "bert" else [hf.lm_head]
        for linear in last:
            x = linear.weight @ x
        effect = direct_effect(model, trace, (1, 2))
    assert (
        (effect - x).abs().max() < 1e-5 * x.abs().max()
        and x.std() > 1e-3
        and len(inputs) == len(norms)
    )


def test_a_part_through_frozen_norms_is_linear_and_whole(build):
    """Embedding, every half block and the biases together are the logits: nothing is lost on the
    way.
    """
    for family in ("gpt2", "qwen2"):
        model, parts = build(family), []
        hooks = [
            module.register_forward_hook(
                lambda _, args, out, parts=parts: parts.append(
                    out[0] if isinstance(out, tuple) else out
                )
            )
            for block in model.blocks
            for module in (block.attention, block.down.module)
        ]
        with torch.no_grad():
            trace = record(model, pad([ROW], "cpu"))
            [hook.remove() for hook in hooks]
            total = sum(
                vector_to_logits(model, trace, 2, part[0, -1]) for part in (trace.x[0], *parts)
            )
            bias = model.architecture.final_norm.bias
            total = total + (0 if bias is None else model.architecture.head[0].weight @ bias)
        assert (total - trace.logits[0]).abs().max() < 1e-4 * trace.logits.abs().max(), family


def test_labels_and_vocabulary_are_entries_of_the_effect(known, task):
    model, rows, means = known
    view = view_head(model, task, rows[0], means, (1, 2), "atp", top=5)
    with torch.no_grad():
        effect = direct_effect(
            model, record(model, pad([task.encode(model, rows[0])], "cpu")), (1, 2)
        )
    assert view.labels == {
        label: pytest.approx(effect[token].item()) for label, token in task.label_ids(model).items()
    }
    assert [value for _, value in view.promoted] == effect.sort(descending=True).values[:5].tolist()
    assert [value for _, value in view.suppressed] == effect.sort().values[:5].tolist()


@pytest.mark.parametrize("head", [(0, 1), (1, 0), (2, 3)])
def test_attribution_patchings_parts_add_up_to_the_score(known, task, head):
    model, rows, means = known
    scores = score_heads(model, task, rows[:1], means, "atp")
    parts = view_head(model, task, rows[0], means, head, "atp").relevance
    assert parts.sum().item() == pytest.approx(
        scores.per_example[0, *head].item(), rel=1e-4, abs=1e-6
    )
    # in the last layer only the readout reaches the answer
    assert head[0] != 2 or (parts[:-1].abs().max() < 1e-7)


def test_integrated_gradients_with_one_step_are_attribution_patching(known, task):
    model, rows, means = known
    one = view_head(model, task, rows[1], means, (1, 1), "ig", steps=1).relevance
    assert torch.allclose(one, view_head(model, task, rows[1], means, (1, 1), "atp").relevance)
    assert not torch.allclose(one, view_head(model, task, rows[1], means, (1, 1), "ig").relevance)


@pytest.mark.parametrize("attention", ["softmax", "frozen"])
def test_cdt_is_split_at_one_position_and_the_readouts_part_is_the_readout_score(
    known, task, attention
):
    model, rows, means = known
    at_readout = score_heads(
        model, task, rows[:1], means, "cdt", attention=attention, positions="readout"
    ).per_example[0]
    for head in ((0, 1), (1, 2), (2, 0)):
        parts = view_head(model, task, rows[0], means, head, "cdt", attention=attention).relevance
        assert parts[-1].item() == pytest.approx(at_readout[head].item(), rel=1e-3, abs=1e-5)
        # one position at a time
        alone = view_head(
            model, task, rows[0], means, head, "cdt", attention=attention, batch_tokens=1
        ).relevance
        assert torch.allclose(parts, alone, atol=1e-5)
    whole = score_heads(model, task, rows[:1], means, "cdt", attention=attention).per_example[0]
    assert parts.sum().item() == pytest.approx(whole[2, 0].item(), rel=1e-3, abs=1e-5)


def test_ablation_at_one_position_by_hand(known, task):
    model, rows, means = known
    ids, gold = (
        task.encode(model, rows[0]),
        direction_weights(torch.tensor([LABELS.index(rows[0].label)]), 3)[0],
    )
    tokens, head, at = list(task.label_ids(model).values()), (0, 2), 1
    hook = model.blocks[0].o.module.register_forward_pre_hook(
        lambda _, args: (
            args[0].index_put(
                (torch.tensor([0]), torch.tensor([at])),
                torch.cat([args[0][0, at, :16], means.values[head], args[0][0, at, 24:]])[None],
            ),
        )
    )
    with torch.no_grad():
        try:
            without = model.hf(torch.tensor([ids])).logits[0, -1, tokens] @ gold
        finally:
            hook.remove()
        full = model.hf(torch.tensor([ids])).logits[0, -1, tokens] @ gold
        scoring = ScoringPass(model, task, rows[:1], means, "ablation", SETTINGS)
        parts = position_relevance(single_batch(scoring), head, "ablation")
    assert (
        parts[at].item() == pytest.approx((full - without).item(), rel=1e-3, abs=1e-5)
        and abs(full - without) > 1e-4
    )


def test_only_the_readout_is_split_when_the_means_are_the_readouts(known, task):
    model, rows, _ = known
    means = label_balanced_means(model, task, rows, "readout")
    for method in ("cdt", "atp", "ig", "ablation"):
        parts = view_head(model, task, rows[0], means, (0, 1), method).relevance
        assert (parts[:-1] == 0).all() and parts[-1] != 0, method


def test_wrong_questions_are_one_sentence(known, task, loaded):
    model, rows, means = known
    for wrong, says in (
        ({"head": (7, 0)}, "is not a head"),
        ({"method": "guess"}, "is not a scoring method"),
    ):
        with pytest.raises(UserError, match=says):
            view_head(model, task, rows[0], means, **({"head": (0, 0)} | wrong))
    with pytest.raises(UserError, match="shape"):
        view_head(
            model,
            task,
            Example("a", rows[0].text, LABELS[0], rows[0].fields),
            type(means)(means.values[:1], {}, {}),
            (0, 0),
        )
    assert task.prompt == PROMPT
