"""Attribution patching, integrated gradients, mean ablation: against the oracle and hooks."""

import pytest
import torch
from scipy.stats import spearmanr

from ctsft.attribution.gradient_methods import gradients, random_groups
from ctsft.attribution.means import label_balanced_means
from ctsft.attribution.pool import discovery_set
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.score_heads import score_heads
from ctsft.attribution.scoring_batch import ScoringBatch
from ctsft.data.registry import load_task
from ctsft.model.batching import pad
from ctsft.model.evaluation import direction_weights
from ctsft.model.forward import readout_logits
from ctsft.model.loading import load_model
from oracle import naive
from support.models import FAMILIES
from support.tasks import examples

POOL = examples(5, seed=9)

each_family = pytest.mark.parametrize("family", FAMILIES)


each_place = pytest.mark.parametrize("positions", ["all", "readout"])


def close(mine, theirs):
    assert theirs.abs().max() > 1e-3
    return ((mine.double() - theirs.double()).abs().max() / theirs.abs().max()).item() < 1e-4


@each_family
@each_place
def test_attribution_patching_agrees_with_the_oracle(loaded, task, family, positions):
    model = loaded[family]
    means, labels = label_balanced_means(model, task, POOL, positions), task.label_ids(model)
    scores = score_heads(model, task, POOL, means, "atp")
    theirs = torch.stack(
        [
            naive.attribution_patching(
                model.hf,
                task.encode(model, row),
                labels[row.label],
                list(labels.values()),
                means.values.double(),
                positions,
            )
            for row in POOL
        ]
    )
    assert close(scores.per_example, theirs)


@each_family
@each_place
def test_mean_ablation_agrees_with_the_oracle_and_with_a_hook_on_the_output_projection(
    loaded, task, family, positions
):
    model = loaded[family]
    means, labels = label_balanced_means(model, task, POOL, positions), task.label_ids(model)
    tokens = list(labels.values())
    scores = score_heads(model, task, POOL, means, "ablation").per_example
    theirs = torch.zeros(3, 4, dtype=torch.float64)
    row, ids = POOL[1], task.encode(model, POOL[1])
    use = slice(None) if positions == "all" else slice(-1, None)

    def direction():
        logits = readout_logits(model.hf, pad([ids], "cpu"))[0]
        gold = labels[row.label]
        return logits[gold] - logits[[token for token in tokens if token != gold]].mean()

    with torch.no_grad():
        intact = direction()
        for layer, head in model.heads:

            def ablate(_, args, layer=layer, head=head):
                z = args[0].clone()
                z[0, use, head * 8 : (head + 1) * 8] = means.values[layer, head]
                return (z,)

            hook = model.blocks[layer].o.module.register_forward_pre_hook(ablate)
            theirs[layer, head] = intact - direction()
            hook.remove()
    assert close(scores[1], theirs)
    for layer, head in ((0, 1), (2, 3)):
        oracle = [
            naive.mean_ablation(
                model.hf,
                task.encode(model, row),
                labels[row.label],
                tokens,
                layer,
                head,
                means.values[layer, head].double(),
                positions,
            )
            for row in POOL
        ]
        assert close(scores[:, layer, head], torch.tensor(oracle))


def test_a_head_at_its_mean_has_no_relevance_by_any_method(build, task):
    """A head that always gives the same z: its value rows are 0 and their bias is not."""
    model = build("qwen2")
    with torch.no_grad():
        # heads 0 and 1 share these rows
        model.blocks[1].v.module.weight[:8] = 0
    means = label_balanced_means(model, task, POOL)
    for method in ("cdt", "atp", "ig", "ablation"):
        scores = score_heads(model, task, POOL, means, method).per_example.abs()
        assert scores[:, 1, :2].max() < 1e-5 and scores[:, 1, 2:].min() > 1e-6, method


@each_family
@each_place
def test_the_end_point_is_attribution_patching_and_the_path_of_each_head_is_nearly_ablation(
    loaded, task, family, positions
):
    model = loaded[family]
    means = label_balanced_means(model, task, POOL, positions)
    atp, end, path, truth = (
        score_heads(model, task, POOL, means, method, steps=steps).per_example
        for method, steps in (("atp", 1), ("ig", 1), ("ig", 13), ("ablation", 1))
    )
    assert (
        torch.equal(end, atp)
        and (path - truth).square().mean() < 0.1 * (atp - truth).square().mean()
    )


@each_place
def test_a_texts_scores_depend_on_nothing_it_is_batched_with(loaded, task, positions):
    model = loaded["llama"]
    means = label_balanced_means(model, task, POOL, positions)
    together = score_heads(model, task, POOL, means, "ig").per_example
    alone = torch.cat([score_heads(model, task, [row], means, "ig").per_example for row in POOL])
    assert close(together, alone) and not close(
        together, score_heads(model, task, POOL, means, "ig", steps=4).per_example
    )


def scoring_batch(model, task, means, rows, **config) -> ScoringBatch:
    encoded, labels = [task.encode(model, row) for row in rows], task.label_ids(model)
    gold = direction_weights(
        torch.tensor([list(labels).index(row.label) for row in rows]), len(labels)
    )
    return ScoringBatch(
        model,
        pad(encoded, "cpu"),
        list(labels.values()),
        gold,
        means.values,
        ScoreConfig(**config),
        plan=None,
    )


def test_heads_are_dealt_evenly_and_anew_for_each_text(loaded, task):
    model = loaded["gpt2"]
    mine = scoring_batch(model, task, label_balanced_means(model, task, POOL), POOL)
    for groups, sizes in ((1, [12]), (4, [3, 3, 3, 3]), (5, [3, 3, 2, 2, 2]), (12, [1] * 12)):
        group = random_groups(mine, groups)
        assert group.shape == (5, 3, 4) and all(
            row.flatten().bincount(minlength=groups).tolist() == sizes for row in group
        )
        assert torch.equal(group, random_groups(mine, groups))
    # no two heads of one layer
    assert (random_groups(mine, 4).sort(-1).values == torch.arange(4)).all()
    assert len({tuple(row.flatten().tolist()) for row in random_groups(mine, 4)}) == 5


@each_place
def test_only_the_heads_of_the_group_leave_their_place(loaded, task, positions):
    """At alpha 0 a head gives its mean and the direction is that of mean ablation; a head at 1
    gives what it gives.
    """
    model = loaded["qwen2"]
    means = label_balanced_means(model, task, POOL, positions)
    mine = scoring_batch(model, task, means, POOL[1:3], positions=positions)
    alpha = torch.ones(2, 3, 4)
    alpha[0, 1, 2] = 0
    (plain, _), (moved, slope) = gradients(mine), gradients(mine, alpha)
    where = mine.split_mask[0].expand(-1, 1, 8)[:, 0]
    assert (
        torch.equal(moved[1][0, :, 2], torch.where(where, means.values[1, 2], plain[1][0, :, 2]))
        and where.any()
    )
    unscaled = [0, 1, 3]
    assert torch.equal(moved[1][0][:, unscaled], plain[1][0][:, unscaled]) and torch.equal(
        moved[0], plain[0]
    )
    assert all(
        torch.equal(a[1], b[1]) for a, b in zip(moved, plain, strict=True)
    ) and not torch.equal(moved[2][0], plain[2][0])
    assert slope[2].abs().max() > 0


def test_the_path_ranks_the_bundled_models_heads_as_ablation_does():
    model, task = load_model("demo", device="cpu"), load_task("demo")
    pool = discovery_set(model, task, task.load("indonesian", "train"), 12)
    means = label_balanced_means(model, task, pool)
    truth, path, end = (
        score_heads(model, task, pool, means, method).values.flatten()
        for method in ("ablation", "ig", "atp")
    )
    assert spearmanr(path, truth).statistic > 0.9 > spearmanr(end, truth).statistic
