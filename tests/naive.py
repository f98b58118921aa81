"""CD-T and its companions, slow and literal: the oracle of the fast implementation (METHOD.md sections 3, 4, 5, 9).

One text, one head, one query position at a time, float64, no batch and no padding. Two explicit streams, `rel` and
`irrel`, each with its own rule; `total` inside a rule is always `rel + irrel` of the streams, never the clean forward,
so the clean forward (`totals`) is an independent check of every step. The readout is the last token of `ids`.
`gold` and `label_ids` are token ids. Weights are read from the HF module's parameters by the readers in `READERS`.
"""
import math
from dataclasses import dataclass, field

import torch

TOL = 1e-8  # in the two shared-bias rules (section 4)

ACTIVATIONS = {
    "gelu": lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))),
    "gelu_new": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: x.clamp(min=0),
    "silu": lambda x: x / (1 + torch.exp(-x)),
}


# ---- weights -------------------------------------------------------------------------------------------------------

@dataclass
class Linear:
    weight: torch.Tensor  # [in, out]
    bias: torch.Tensor | None = None  # [out]


@dataclass
class Norm:
    gain: torch.Tensor  # [d_model]
    bias: torch.Tensor | None  # [d_model]
    eps: float
    centred: bool  # True: LayerNorm, False: RMSNorm


@dataclass
class Layer:
    attn_norm: Norm
    q: Linear  # [d_model, head * d_head]
    k: Linear  # [d_model, kv_head * d_head]
    v: Linear
    o: Linear  # [head * d_head, d_model]
    mlp_norm: Norm
    gate: Linear | None  # None: plain MLP
    up: Linear  # MLP-in
    down: Linear  # MLP-out
    window: int | None  # a position sees itself and window - 1 before it; None: all before it


@dataclass
class Net:
    embed: torch.Tensor  # [vocab, d_model]
    pos_embed: torch.Tensor | None  # [pos, d_model]
    layers: list[Layer]
    final_norm: Norm
    unembed: Linear  # [d_model, vocab]
    n_heads: int
    n_kv: int
    d_head: int
    act: callable
    rope_theta: float | None


def copy64(param):
    return None if param is None else param.detach().cpu().double()


def read_gpt2(hf) -> Net:
    config, body = hf.config, hf.transformer
    if not config.scale_attn_weights or config.scale_attn_by_inverse_layer_idx or config.add_cross_attention:
        raise ValueError("GPT-2 with other attention than 1/sqrt(d_head) self-attention is not covered by naive.py")
    width = config.n_embd

    def norm(module):
        return Norm(copy64(module.weight), copy64(module.bias), config.layer_norm_epsilon, centred=True)

    def conv(module, columns=slice(None)):  # Conv1D is [in, out] already; c_attn holds q, k, v side by side
        return Linear(copy64(module.weight)[:, columns], copy64(module.bias)[columns])

    layers = [
        Layer(
            norm(block.ln_1), *(conv(block.attn.c_attn, slice(i * width, (i + 1) * width)) for i in range(3)),
            conv(block.attn.c_proj), norm(block.ln_2), None, conv(block.mlp.c_fc), conv(block.mlp.c_proj), None,
        )
        for block in body.h
    ]
    return Net(
        copy64(body.wte.weight), copy64(body.wpe.weight), layers, norm(body.ln_f), Linear(copy64(hf.lm_head.weight).T),
        config.n_head, config.n_head, width // config.n_head, ACTIVATIONS[config.activation_function], None,
    )


def read_llama(hf) -> Net:
    """Llama, Mistral and Qwen2: they differ in biases and windows only."""
    config, body = hf.config, hf.model
    if config.rope_parameters["rope_type"] != "default":
        raise ValueError(f"rope type {config.rope_parameters['rope_type']!r} is not covered by naive.py; use 'default'")

    def norm(module):
        return Norm(copy64(module.weight), None, config.rms_norm_eps, centred=False)

    def lin(module):  # nn.Linear is [out, in]
        return Linear(copy64(module.weight).T, copy64(module.bias))

    def window(index):
        if config.model_type == "mistral":
            return config.sliding_window
        if config.model_type == "qwen2" and config.layer_types[index] == "sliding_attention":
            return config.sliding_window
        return None

    layers = [
        Layer(
            norm(block.input_layernorm), lin(block.self_attn.q_proj), lin(block.self_attn.k_proj),
            lin(block.self_attn.v_proj), lin(block.self_attn.o_proj), norm(block.post_attention_layernorm),
            lin(block.mlp.gate_proj), lin(block.mlp.up_proj), lin(block.mlp.down_proj), window(index),
        )
        for index, block in enumerate(body.layers)
    ]
    n_heads = config.num_attention_heads
    d_head = getattr(config, "head_dim", None) or config.hidden_size // n_heads
    return Net(
        copy64(body.embed_tokens.weight), None, layers, norm(body.norm), lin(hf.lm_head), n_heads,
        config.num_key_value_heads, d_head, ACTIVATIONS[config.hidden_act], config.rope_parameters["rope_theta"],
    )


READERS = {"gpt2": read_gpt2, "llama": read_llama, "mistral": read_llama, "qwen2": read_llama}


def read(hf) -> Net:
    return READERS[hf.config.model_type](hf)


# ---- the plain forward ---------------------------------------------------------------------------------------------

@dataclass
class Totals:
    z: list[torch.Tensor]  # per layer [pos, head, d_head]
    logits: torch.Tensor  # [vocab] at the readout
    steps: dict[str, torch.Tensor] = field(repr=False)  # every step by name, [pos, ...]; "logits" is [vocab]


def apply_linear(x, lin: Linear):
    y = x @ lin.weight
    return y if lin.bias is None else y + lin.bias


def spread(total, norm: Norm):
    """The standard deviation (LayerNorm) or root mean square (RMSNorm) that the parts are divided by, [pos, 1]."""
    if norm.centred:
        total = total - total.mean(-1, keepdim=True)
    return ((total**2).mean(-1, keepdim=True) + norm.eps).sqrt()


def apply_norm(x, norm: Norm):
    centred = x - x.mean(-1, keepdim=True) if norm.centred else x
    y = centred / spread(x, norm) * norm.gain
    return y if norm.bias is None else y + norm.bias


def rotate(x, net: Net):
    """RoPE, rotate_half convention: coordinate i turns with coordinate i + d_head / 2. x: [pos, head, d_head]."""
    if net.rope_theta is None:
        return x
    half, turned = net.d_head // 2, []
    for pos in range(x.shape[0]):
        angle = torch.tensor([pos * net.rope_theta ** (-i / half) for i in range(half)], dtype=x.dtype)
        first, second = x[pos, :, :half], x[pos, :, half:]  # [head, d_head / 2]
        turned.append(torch.cat((first * angle.cos() - second * angle.sin(),
                                 second * angle.cos() + first * angle.sin()), dim=-1))
    return torch.stack(turned)


def visible(pos: int, window: int | None) -> slice:
    return slice(0 if window is None else max(0, pos - window + 1), pos + 1)


def pattern(query, keys, net: Net):
    """One row of attention. query: [d_head], keys: the visible ones, [seen, d_head]. Returns [seen]."""
    return torch.softmax(keys @ query / math.sqrt(net.d_head), dim=0)


def by_head(x, net: Net):
    return x.reshape(x.shape[0], -1, net.d_head)  # [pos, head, d_head]


def totals(hf, ids, edit=lambda layer, z: z) -> Totals:
    """The model's forward by hand. `edit(layer, z)` may replace a layer's z [pos, head, d_head]."""
    net, n = read(hf), len(ids)
    steps, all_z = {}, []
    x = torch.stack([net.embed[int(token)] for token in ids])  # [pos, d_model]
    if net.pos_embed is not None:
        x = x + net.pos_embed[:n]
    for index, layer in enumerate(net.layers):
        at = f"L{index}."
        steps[at + "in"] = x
        steps[at + "attn_norm"] = normed = apply_norm(x, layer.attn_norm)
        steps[at + "q"] = q = by_head(apply_linear(normed, layer.q), net)  # [pos, head, d_head]
        steps[at + "k"] = k = by_head(apply_linear(normed, layer.k), net)  # [pos, kv_head, d_head]
        steps[at + "v"] = v = by_head(apply_linear(normed, layer.v), net)
        steps[at + "q_rope"] = q = rotate(q, net)
        steps[at + "k_rope"] = k = rotate(k, net)
        heads = []
        for head in range(net.n_heads):
            kv, rows = head // (net.n_heads // net.n_kv), []
            for pos in range(n):
                seen = visible(pos, layer.window)
                rows.append(pattern(q[pos, head], k[seen, kv], net) @ v[seen, kv])  # [d_head]
            heads.append(torch.stack(rows))  # [pos, d_head]
        z = edit(index, torch.stack(heads, dim=1))  # [pos, head, d_head]
        all_z.append(z)
        steps[at + "z"] = z
        steps[at + "attn_out"] = out = apply_linear(z.reshape(n, -1), layer.o)
        steps[at + "attn_add"] = x = x + out
        steps[at + "mlp_norm"] = normed = apply_norm(x, layer.mlp_norm)
        steps[at + "up"] = up = apply_linear(normed, layer.up)  # [pos, d_mlp]
        if layer.gate is None:
            hidden = net.act(up)
        else:
            steps[at + "gate"] = gate = apply_linear(normed, layer.gate)
            hidden = net.act(gate) * up
        steps[at + "act"] = hidden
        steps[at + "mlp_out"] = out = apply_linear(hidden, layer.down)
        steps[at + "block"] = x = x + out
    steps["final_norm"] = x = apply_norm(x, net.final_norm)
    steps["logits"] = logits = apply_linear(x[-1], net.unembed)  # [vocab]
    return Totals(all_z, logits, steps)


# ---- the rules of section 4, each on a pair of parts ---------------------------------------------------------------

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
    new_irrel = (irrel - irrel.mean(-1, keepdim=True)) / scale * norm.gain + norm.bias * irrel.abs() / whole
    return new_rel, new_irrel


def sign_clash(rel, irrel):
    """Where the signs differ, the part of larger size takes the sum and the other becomes 0 (a tie: both are 0)."""
    clash = torch.sign(rel) * torch.sign(irrel) < 0
    rel_wins, zero = rel.abs() >= irrel.abs(), torch.zeros_like(rel)
    new_rel = torch.where(clash, torch.where(rel_wins, rel + irrel, zero), rel)
    new_irrel = torch.where(clash, torch.where(rel_wins, zero, rel + irrel), irrel)
    return new_rel, new_irrel


def activation_rule(rel, irrel, act):
    return act(rel + irrel) - act(irrel), act(irrel)


def gated_rule(gate_rel, gate_irrel, up_rel, up_irrel, act):
    irrel = act(gate_irrel) * up_irrel
    return act(gate_rel + gate_irrel) * (up_rel + up_irrel) - irrel, irrel


def attention_rule(q, k, v, net: Net, window, attention: str):
    """q, k, v: pairs of parts after RoPE, [pos, (kv_)head, d_head]. Returns the parts of z, [pos, head, d_head]."""
    (q_rel, q_irrel), (k_rel, k_irrel), (v_rel, v_irrel) = q, k, v
    q_all, k_all, v_all = q_rel + q_irrel, k_rel + k_irrel, v_rel + v_irrel
    z_rel, z_irrel = torch.zeros_like(q_rel), torch.zeros_like(q_rel)
    for head in range(net.n_heads):
        kv = head // (net.n_heads // net.n_kv)
        for pos in range(q_rel.shape[0]):
            seen = visible(pos, window)
            p = pattern(q_all[pos, head], k_all[seen, kv], net)  # [seen]
            if attention == "softmax":
                p_rel = pattern(q_rel[pos, head], k_rel[seen, kv], net)
            elif attention == "frozen":
                p_rel = p
            else:
                raise ValueError(f"attention={attention!r} is not known; choose from ('softmax', 'frozen')")
            z_rel[pos, head] = p_rel @ v_rel[seen, kv]
            z_irrel[pos, head] = p @ v_all[seen, kv] - z_rel[pos, head]
    return z_rel, z_irrel


# ---- section 4 end to end ------------------------------------------------------------------------------------------

@dataclass
class Decomposition:
    rel_logits: torch.Tensor  # [vocab] at the readout
    irrel_logits: torch.Tensor  # [vocab]
    steps: list[tuple[str, torch.Tensor, torch.Tensor, torch.Tensor]] = field(repr=False)  # name, rel, irrel, total
    rel_z: dict[tuple[int, int], torch.Tensor] = field(repr=False)  # later (layer, head) -> [d_head] at the readout

    def gap(self) -> float:
        """Completeness: the largest |rel + irrel - total| of any step, in units of that step's largest |total|."""
        return max(((r + i - t).abs().max() / t.abs().max().clamp(min=1)).item() for _, r, i, t in self.steps)


def chosen(positions: str, n: int) -> range:
    """The positions that are split, replaced or counted."""
    choices = {"all": range(n), "readout": range(n - 1, n)}
    if positions not in choices:
        raise ValueError(f"positions={positions!r} is not known; choose from {tuple(choices)}")
    return choices[positions]


def decompose(hf, ids, layer, head, mu_head, attention="softmax", positions="all", targets=()) -> Decomposition:
    """Section 4 for the source (layer, head) with mean `mu_head` [d_head]. `targets`: keep `rel_z` of these only."""
    net, clean, n = read(hf), totals(hf, ids), len(ids)
    steps, rel_z = [], {}

    def keep(name, parts, total_name=None):
        steps.append((name, *parts, clean.steps[total_name or name]))
        return parts

    x_irrel = clean.steps[f"L{layer}.in"]  # [pos, d_model]; below the source everything is irrel
    x_rel = torch.zeros_like(x_irrel)
    for index in range(layer, len(net.layers)):
        block, at = net.layers[index], f"L{index}."
        if index == layer:
            z_irrel = clean.z[layer].clone()  # [pos, head, d_head]
            z_rel = torch.zeros_like(z_irrel)
            for pos in chosen(positions, n):
                z_rel[pos, head] = clean.z[layer][pos, head] - mu_head
                z_irrel[pos, head] = mu_head
            keep(at + "z", (z_rel, z_irrel))
        else:
            normed = keep(at + "attn_norm", norm_rule(x_rel, x_irrel, block.attn_norm))
            q = keep(at + "q", [by_head(part, net) for part in linear_rule(*normed, block.q)])
            k = keep(at + "k", [by_head(part, net) for part in linear_rule(*normed, block.k)])
            v = keep(at + "v", [by_head(part, net) for part in linear_rule(*normed, block.v)])
            q = keep(at + "q_rope", [rotate(part, net) for part in q])
            k = keep(at + "k_rope", [rotate(part, net) for part in k])
            z_rel, z_irrel = keep(at + "z", attention_rule(q, k, v, net, block.window, attention))
            rel_z.update({(index, h): z_rel[-1, h] for h in range(net.n_heads)})
        out = keep(at + "attn_out", linear_rule(z_rel.reshape(n, -1), z_irrel.reshape(n, -1), block.o))
        x_rel, x_irrel = keep(at + "attn_add", (x_rel + out[0], x_irrel + out[1]))
        normed = keep(at + "mlp_norm", norm_rule(x_rel, x_irrel, block.mlp_norm))
        up = keep(at + "up", linear_rule(*normed, block.up))
        up = keep(at + "up_clash", sign_clash(*up), at + "up")
        if block.gate is None:
            hidden = activation_rule(*up, net.act)
        else:
            gate = keep(at + "gate", linear_rule(*normed, block.gate))
            gate = keep(at + "gate_clash", sign_clash(*gate), at + "gate")
            hidden = gated_rule(*gate, *up, net.act)
        keep(at + "act", hidden)
        out = keep(at + "mlp_out", linear_rule(*hidden, block.down))
        out = keep(at + "mlp_out_clash", sign_clash(*out), at + "mlp_out")
        x_rel, x_irrel = keep(at + "block", (x_rel + out[0], x_irrel + out[1]))
        x_rel, x_irrel = keep(at + "block_clash", sign_clash(x_rel, x_irrel), at + "block")
    x_rel, x_irrel = keep("final_norm", norm_rule(x_rel, x_irrel, net.final_norm))
    rel, irrel = keep("logits", linear_rule(x_rel[-1], x_irrel[-1], net.unembed))
    return Decomposition(rel, irrel, steps, {t: z for t, z in rel_z.items() if not targets or t in targets})


# ---- sections 5, 3 and 9 -------------------------------------------------------------------------------------------

def others(gold, label_ids) -> list[int]:
    if gold not in label_ids:
        raise ValueError(f"gold token {gold} is not one of the label tokens {list(label_ids)}")
    return [y for y in label_ids if y != gold]


def direction(logits, gold, label_ids):
    """Gold minus the mean of the others. logits: [vocab, ...]; returns [...]."""
    rest = others(gold, label_ids)
    return logits[gold] - sum(logits[y] for y in rest) / len(rest)


def relevance(hf, ids, gold, label_ids, layer, head, mu_head, **how) -> float:
    """R of section 5, target = logits. `how`: attention, positions."""
    return direction(decompose(hf, ids, layer, head, mu_head, **how).rel_logits, gold, label_ids).item()


def magnitude(hf, ids, label_ids, layer, head, mu_head, **how) -> float:
    """|rel|_1 / |irrel|_1 over the label logits."""
    parts, labels = decompose(hf, ids, layer, head, mu_head, **how), list(label_ids)
    return (parts.rel_logits[labels].abs().sum() / parts.irrel_logits[labels].abs().sum()).item()


def head_target_relevance(hf, ids, gold, label_ids, source, targets, mu_head, **how) -> float:
    """R of section 5, target = heads; the mean over ALL targets, 0 for one that is not in a later layer."""
    net = read(hf)
    rel_z = decompose(hf, ids, *source, mu_head, **how).rel_z
    v = direction(net.unembed.weight.T, gold, label_ids)  # [d_model]
    scores = []
    for layer, head in targets:
        if layer <= source[0]:
            scores.append(0.0)
            continue
        columns = net.layers[layer].o.weight[head * net.d_head : (head + 1) * net.d_head]  # [d_head, d_model]
        scores.append((rel_z[layer, head] @ columns @ v / v.norm()).item())
    return sum(scores) / len(scores)


def label_balanced_means(hf, list_of_ids, labels, positions="all"):
    """Section 3. Returns (balanced [layer, head, d_head], {label: [layer, head, d_head]})."""
    examples = {label: [] for label in labels}
    for ids, label in zip(list_of_ids, labels, strict=True):
        z, use = totals(hf, ids).z, chosen(positions, len(ids))
        examples[label].append(torch.stack([sum(per[pos] for pos in use) / len(use) for per in z]))
    per_label = {label: sum(means) / len(means) for label, means in examples.items()}
    return sum(per_label.values()) / len(per_label), per_label


def margin(hf, ids, gold, label_ids, ablate=None, positions="all"):
    """The direction (a 0-dim tensor) with the heads of `ablate`, {(layer, head): mu_head}, replaced by their means."""
    def edit(layer, z):
        z = z.clone()
        for (at, head), mu_head in (ablate or {}).items():
            for pos in chosen(positions, len(ids)):
                if at == layer:
                    z[pos, head] = mu_head
        return z
    return direction(totals(hf, ids, edit).logits, gold, label_ids)


def mean_ablation(hf, ids, gold, label_ids, layer, head, mu_head, positions="all") -> float:
    """The drop of the direction when one head's z becomes mu: intact minus ablated."""
    ablated = margin(hf, ids, gold, label_ids, {(layer, head): mu_head}, positions)
    return (margin(hf, ids, gold, label_ids) - ablated).item()


def attribution_patching(hf, ids, gold, label_ids, mu, positions="all"):
    """Sum over positions of (z - mu) . d(direction)/dz. mu: [layer, head, d_head]; returns [layer, head]."""
    kept = []

    def edit(layer, z):
        kept.append(z if z.requires_grad else z.requires_grad_())
        return z
    value = direction(totals(hf, ids, edit).logits, gold, label_ids)
    slopes = torch.autograd.grad(value, kept)  # per layer [pos, head, d_head]
    scores = torch.zeros(mu.shape[:2], dtype=torch.float64)
    for layer, (z, slope) in enumerate(zip(kept, slopes, strict=True)):
        for pos in chosen(positions, len(ids)):
            scores[layer] += ((z[pos].detach() - mu[layer]) * slope[pos]).sum(-1)  # [head]
    return scores
