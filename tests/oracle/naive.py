"""CD-T and its companions, slow and literal: the oracle of the fast implementation (METHOD.md
sections 3, 4, 5, 9).

One text, one head, one query position at a time, float64, no batch and no padding. Two explicit
streams, `rel` and `irrel`, each with its own rule; `total` inside a rule is always `rel + irrel` of
the streams, never the clean forward, so the clean forward (`totals` in naive_forward.py) is an
independent check of every step. The readout is the last token of `ids`, in encoders the first.
`gold` and `label_ids` are token ids, or class numbers where the head is a classifier.
"""

from dataclasses import dataclass, field

import torch

from oracle.naive_forward import by_head, by_span, pattern, rotate, spread, totals, visible
from oracle.naive_net import Layer, Linear, Net, Norm
from oracle.naive_readers import read

TOL = 1e-8  # in the two shared-bias rules (section 4)


# ---- the rules of section 4, each on a pair of parts -----------------------


def linear_rule(rel, irrel, lin: Linear):
    rel, irrel = rel @ lin.weight, irrel @ lin.weight
    if lin.bias is None:
        return rel, irrel
    whole = rel.abs() + irrel.abs() + TOL
    return rel + lin.bias * rel.abs() / whole, irrel + lin.bias * irrel.abs() / whole


def norm_rule(rel, irrel, norm: Norm):
    scale = spread(rel + irrel, norm)  # of the TOTAL, [pos, 1]
    if not norm.centred:
        return rel * norm.gain / scale, irrel * norm.gain / scale
    whole = rel.abs() + irrel.abs() + TOL  # of the inputs, before centring
    new_rel = (rel - rel.mean(-1, keepdim=True)) / scale * norm.gain + norm.bias * rel.abs() / whole
    new_irrel = (
        irrel - irrel.mean(-1, keepdim=True)
    ) / scale * norm.gain + norm.bias * irrel.abs() / whole
    return new_rel, new_irrel


def sign_clash(rel, irrel):
    """Where the signs differ, the part of larger size takes the sum and the other becomes 0 (a tie:
    both are 0).
    """
    clash = torch.sign(rel) * torch.sign(irrel) < 0
    rel_wins, zero = rel.abs() >= irrel.abs(), torch.zeros_like(rel)
    new_rel = torch.where(clash, torch.where(rel_wins, rel + irrel, zero), rel)
    new_irrel = torch.where(clash, torch.where(rel_wins, zero, rel + irrel), irrel)
    return new_rel, new_irrel


def add(one, other):
    return one[0] + other[0], one[1] + other[1]


def activation_rule(rel, irrel, act):
    return act(rel + irrel) - act(irrel), act(irrel)


def gated_rule(gate_rel, gate_irrel, up_rel, up_irrel, act):
    irrel = act(gate_irrel) * up_irrel
    return act(gate_rel + gate_irrel) * (up_rel + up_irrel) - irrel, irrel


def attention_rule(q, k, v, net: Net, layer: Layer, attention: str):
    """q, k, v: pairs of parts after RoPE, [pos, (kv_)head, d_head]. Returns the parts of z, [pos,
    head, d_head].
    """
    (q_rel, q_irrel), (k_rel, k_irrel), (v_rel, v_irrel) = q, k, v
    q_all, k_all, v_all = q_rel + q_irrel, k_rel + k_irrel, v_rel + v_irrel
    z_rel, z_irrel, n = torch.zeros_like(q_rel), torch.zeros_like(q_rel), q_rel.shape[0]
    for head in range(net.n_heads):
        kv = head // (net.n_heads // net.n_kv)
        for pos in range(n):
            seen = visible(pos, n, net, layer)
            p = pattern(q_all[pos, head], k_all[seen, kv], layer)  # [seen]
            if attention == "softmax":
                p_rel = pattern(q_rel[pos, head], k_rel[seen, kv], layer)
            elif attention == "frozen":
                p_rel = p
            else:
                raise ValueError(
                    f"attention={attention!r} is not known; choose from ('softmax', 'frozen')"
                )
            z_rel[pos, head] = p_rel @ v_rel[seen, kv]
            z_irrel[pos, head] = p @ v_all[seen, kv] - z_rel[pos, head]
    return z_rel, z_irrel


# ---- section 4 end to end --------------------------------------------------


@dataclass
class Decomposition:
    rel_logits: torch.Tensor  # [vocab or class] at the readout
    irrel_logits: torch.Tensor  # [vocab or class]
    # name, rel, irrel, total
    steps: list[tuple[str, torch.Tensor, torch.Tensor, torch.Tensor]] = field(repr=False)
    # later (layer, head) -> [d_head] at the readout
    rel_z: dict[tuple[int, int], torch.Tensor] = field(repr=False)

    def gap(self) -> float:
        """Completeness: the largest |rel + irrel - total| of any step, in units of that step's
        largest |total|.
        """
        return max(
            ((r + i - t).abs().max() / t.abs().max().clamp(min=1)).item()
            for _, r, i, t in self.steps
        )


def chosen(positions: str, n: int, net: Net):
    """The positions that are split, replaced or counted."""
    choices = {"all": range(n), "readout": [range(n)[net.readout]]}
    if positions not in choices:
        raise ValueError(f"positions={positions!r} is not known; choose from {tuple(choices)}")
    return choices[positions]


def decompose(
    hf, ids, layer, head, mu_head, attention="softmax", positions="all", targets=(), clean=None
) -> Decomposition:
    """Section 4 for the source (layer, head) with mean `mu_head` [d_head]. `targets`: keep `rel_z`
    of these only. `clean`: `totals(hf, ids)`, where several sources share them.
    """
    clean = clean or totals(hf, ids)
    net, n = clean.net, len(ids)
    steps, rel_z = [], {}

    def keep(name, parts, total_name=None):
        steps.append((name, *parts, clean.steps[total_name or name]))
        return parts

    def keep_clash(name, parts):
        return keep(name + "_clash", sign_clash(*parts), name)

    def normed(name, parts, norm):
        return parts if norm is None else keep(name, norm_rule(*parts, norm))

    def heads(name, parts):
        return keep(name, [by_head(part, net) for part in parts])

    def spans(parts, norm):
        return norm_rule(*(by_span(part, norm) for part in parts), norm)

    # [pos, d_model]; below the source everything is irrel
    x_irrel = clean.steps[f"L{layer}.in"]
    x = torch.zeros_like(x_irrel), x_irrel
    for index in range(layer, len(net.layers)):
        block, at = net.layers[index], f"L{index}."
        if index == layer:
            z_irrel = clean.z[layer].clone()  # [pos, head, d_head]
            z_rel = torch.zeros_like(z_irrel)
            for pos in chosen(positions, n, net):
                z_rel[pos, head] = clean.z[layer][pos, head] - mu_head
                z_irrel[pos, head] = mu_head
            z = keep(at + "z", (z_rel, z_irrel))
        else:
            read_by_attn = normed(at + "attn_norm", x, block.attn.pre)
            q = heads(at + "q", linear_rule(*read_by_attn, block.q))
            k = heads(at + "k", linear_rule(*read_by_attn, block.k))
            v = heads(at + "v", linear_rule(*read_by_attn, block.v))
            if block.q_norm is not None:
                q = heads(at + "q_norm", spans(q, block.q_norm))
                k = heads(at + "k_norm", spans(k, block.k_norm))
            q = keep(at + "q_rope", [rotate(part, block.rope) for part in q])
            k = keep(at + "k_rope", [rotate(part, block.rope) for part in k])
            z = keep(at + "z", attention_rule(q, k, v, net, block, attention))
            rel_z.update({(index, h): z[0][net.readout, h] for h in range(net.n_heads)})
        out = keep(at + "attn_out", linear_rule(*(part.reshape(n, -1) for part in z), block.o))
        out = normed(at + "attn_post", out, block.attn.post)
        middle = normed(at + "attn_after", keep(at + "attn_add", add(x, out)), block.attn.after)
        read_by_mlp = normed(at + "mlp_norm", x if net.parallel else middle, block.mlp.pre)
        up = keep_clash(at + "up", keep(at + "up", linear_rule(*read_by_mlp, block.up)))
        if block.gate is None:
            hidden = keep(at + "act", activation_rule(*up, net.act))
        else:
            gate = keep_clash(at + "gate", keep(at + "gate", linear_rule(*read_by_mlp, block.gate)))
            hidden = keep(at + "act", gated_rule(*gate, *up, net.act))
        out = keep_clash(at + "mlp_out", keep(at + "mlp_out", linear_rule(*hidden, block.down)))
        out = normed(at + "mlp_post", out, block.mlp.post)
        x = keep_clash(at + "block", keep(at + "block", add(middle, out)))
        if block.mlp.after is not None:
            x = keep_clash(at + "mlp_after", normed(at + "mlp_after", x, block.mlp.after))
    x = [part[net.readout] for part in normed("final_norm", x, net.final_norm)]  # [d_model]
    for i, part in enumerate(net.head, start=1):
        x = linear_rule(*x, part) if isinstance(part, Linear) else activation_rule(*x, part)
        keep("logits" if i == len(net.head) else f"head{i}", x)
    return Decomposition(*x, steps, {t: z for t, z in rel_z.items() if not targets or t in targets})


# ---- sections 5, 3 and 9 ---------------------------------------------------


def others(gold, label_ids) -> list[int]:
    if gold not in label_ids:
        raise ValueError(f"gold {gold} is not one of the labels {list(label_ids)}")
    return [y for y in label_ids if y != gold]


def direction(logits, gold, label_ids):
    """Gold minus the mean of the others. logits: [vocab or class, ...]; returns [...]."""
    rest = others(gold, label_ids)
    return logits[gold] - sum(logits[y] for y in rest) / len(rest)


def relevance(hf, ids, gold, label_ids, layer, head, mu_head, **how) -> float:
    """R of section 5, target = logits. `how`: attention, positions."""
    return direction(
        decompose(hf, ids, layer, head, mu_head, **how).rel_logits, gold, label_ids
    ).item()


def magnitude(hf, ids, label_ids, layer, head, mu_head, **how) -> float:
    """|rel|_1 / |irrel|_1 over the label logits."""
    parts, labels = decompose(hf, ids, layer, head, mu_head, **how), list(label_ids)
    return (parts.rel_logits[labels].abs().sum() / parts.irrel_logits[labels].abs().sum()).item()


def head_target_relevance(hf, ids, gold, label_ids, source, targets, mu_head, **how) -> float:
    """R of section 5, target = heads; the mean over ALL targets, 0 for one that is not in a later
    layer.

    A classifier of several layers (encoders; METHOD.md is silent) counts as the product of its
    weights, without biases and activations.
    """
    net = read(hf)
    rel_z = decompose(hf, ids, *source, mu_head, **how).rel_z
    *below, last = [part for part in net.head if isinstance(part, Linear)]
    v = direction(last.weight.T, gold, label_ids)
    for part in reversed(below):
        v = part.weight @ v  # ends as [d_model]
    scores = []
    for layer, head in targets:
        if layer <= source[0]:
            scores.append(0.0)
            continue
        # [d_head, d_model]
        columns = net.layers[layer].o.weight[head * net.d_head : (head + 1) * net.d_head]
        scores.append((rel_z[layer, head] @ columns @ v / v.norm()).item())
    return sum(scores) / len(scores)


def label_balanced_means(hf, list_of_ids, labels, positions="all"):
    """Section 3. Returns (balanced [layer, head, d_head], {label: [layer, head, d_head]})."""
    net, examples = read(hf), {label: [] for label in labels}
    for ids, label in zip(list_of_ids, labels, strict=True):
        z, use = totals(hf, ids).z, chosen(positions, len(ids), net)
        examples[label].append(torch.stack([sum(per[pos] for pos in use) / len(use) for per in z]))
    per_label = {label: sum(means) / len(means) for label, means in examples.items()}
    return sum(per_label.values()) / len(per_label), per_label


def margin(hf, ids, gold, label_ids, ablate=None, positions="all"):
    """The direction (a 0-dim tensor) with the heads of `ablate`, {(layer, head): mu_head}, replaced
    by their means.
    """
    net = read(hf)

    def edit(layer, z):
        z = z.clone()
        for (at, head), mu_head in (ablate or {}).items():
            for pos in chosen(positions, len(ids), net):
                if at == layer:
                    z[pos, head] = mu_head
        return z

    return direction(totals(hf, ids, edit).logits, gold, label_ids)


def mean_ablation(hf, ids, gold, label_ids, layer, head, mu_head, positions="all") -> float:
    """The drop of the direction when one head's z becomes mu: intact minus ablated."""
    ablated = margin(hf, ids, gold, label_ids, {(layer, head): mu_head}, positions)
    return (margin(hf, ids, gold, label_ids) - ablated).item()


def attribution_patching(hf, ids, gold, label_ids, mu, positions="all"):
    """Sum over positions of (z - mu) . d(direction)/dz. mu: [layer, head, d_head]; returns [layer,
    head].
    """
    net, outputs = read(hf), []

    def edit(layer, z):
        outputs.append(z if z.requires_grad else z.requires_grad_())
        return z

    value = direction(totals(hf, ids, edit).logits, gold, label_ids)
    slopes = torch.autograd.grad(value, outputs)  # per layer [pos, head, d_head]
    scores = torch.zeros(mu.shape[:2], dtype=torch.float64)
    for layer, (z, slope) in enumerate(zip(outputs, slopes, strict=True)):
        for pos in chosen(positions, len(ids), net):
            scores[layer] += ((z[pos].detach() - mu[layer]) * slope[pos]).sum(-1)  # [head]
    return scores
