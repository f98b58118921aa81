"""The model families: the only file that names architectures. One short function a family lists its modules."""

import torch
from torch.nn import functional as F

from ctsft.model.activations import fast_activation, softcap
from ctsft.model.architecture import Architecture, Block, Linear, Norm
from ctsft.utils.errors import UserError

CAUSAL_LM, CLASSIFIER = "ForCausalLM", "ForSequenceClassification"


def rms_norm(module, offset: float = 0.0) -> Norm | None:
    eps = getattr(module, "variance_epsilon", None) or getattr(module, "eps", None)
    return None if module is None else Norm(module, eps, offset=offset)


def layer_norm(module) -> Norm:
    return Norm(module, module.eps, centred=True)


def decoder_head(hf) -> tuple:
    """Label tokens by the unembedding, or classes by the `score` head."""
    if hasattr(hf, "score"):
        return (Linear(hf.score),)
    cap = getattr(hf.config, "final_logit_softcapping", None)
    return (Linear(hf.get_output_embeddings()), *([softcap(cap)] if cap else []))


def gpt2(hf) -> Architecture:
    def block(layer):
        d = layer.attn.embed_dim
        q, k, v = (Linear(layer.attn.c_attn, slice(i * d, (i + 1) * d)) for i in range(3))
        return Block(
            layer,
            layer.attn,
            q,
            k,
            v,
            Linear(layer.attn.c_proj),
            Linear(layer.mlp.c_fc),
            Linear(layer.mlp.c_proj),
            fast_activation(hf.config.activation_function, layer.mlp.act),
            attn_norm=layer_norm(layer.ln_1),
            mlp_norm=layer_norm(layer.ln_2),
        )

    return Architecture(
        [block(layer) for layer in hf.transformer.h],
        decoder_head(hf),
        layer_norm(hf.transformer.ln_f),
    )


def gpt_neox(hf) -> Architecture:
    def block(layer):
        a, m, d = layer.attention, layer.mlp, layer.attention.head_size
        # head by head: its queries, keys and values
        rows = torch.arange(a.query_key_value.out_features).view(-1, 3, d)
        q, k, v = (Linear(a.query_key_value, rows[:, i].flatten()) for i in range(3))
        return Block(
            layer,
            a,
            q,
            k,
            v,
            Linear(a.dense),
            Linear(m.dense_h_to_4h),
            Linear(m.dense_4h_to_h),
            fast_activation(hf.config.hidden_act, m.act),
            attn_norm=layer_norm(layer.input_layernorm),
            mlp_norm=layer_norm(layer.post_attention_layernorm),
            parallel=hf.config.use_parallel_residual,
        )

    return Architecture(
        [block(layer) for layer in hf.base_model.layers],
        decoder_head(hf),
        layer_norm(hf.base_model.final_layer_norm),
    )


def gated_block(hf, layer, offset: float = 0.0, **norms) -> Block:
    """A Llama-like block; `norms` names the attribute each norm stands under."""
    a, m = layer.self_attn, layer.mlp
    found = {place: rms_norm(getattr(layer, name), offset) for place, name in norms.items()}
    act = fast_activation(
        getattr(hf.config, "hidden_activation", None) or hf.config.hidden_act, m.act_fn
    )
    return Block(
        layer,
        a,
        Linear(a.q_proj),
        Linear(a.k_proj),
        Linear(a.v_proj),
        Linear(a.o_proj),
        Linear(m.up_proj),
        Linear(m.down_proj),
        act,
        Linear(m.gate_proj),
        q_norm=rms_norm(getattr(a, "q_norm", None), offset),
        k_norm=rms_norm(getattr(a, "k_norm", None), offset),
        **found,
    )


def llama(hf, offset: float = 0.0) -> Architecture:
    blocks = [
        gated_block(
            hf, layer, offset, attn_norm="input_layernorm", mlp_norm="post_attention_layernorm"
        )
        for layer in hf.model.layers
    ]
    return Architecture(blocks, decoder_head(hf), rms_norm(hf.model.norm, offset))


def gemma(hf) -> Architecture:
    return llama(hf, offset=1.0)


def gemma2(hf) -> Architecture:
    places = {
        "attn_norm": "input_layernorm",
        "attn_post": "post_attention_layernorm",
        "mlp_norm": "pre_feedforward_layernorm",
        "mlp_post": "post_feedforward_layernorm",
    }
    return Architecture(
        [gated_block(hf, layer, 1.0, **places) for layer in hf.model.layers],
        decoder_head(hf),
        rms_norm(hf.model.norm, 1.0),
    )


def olmo2(hf) -> Architecture:
    blocks = [
        gated_block(
            hf, layer, attn_post="post_attention_layernorm", mlp_post="post_feedforward_layernorm"
        )
        for layer in hf.model.layers
    ]
    return Architecture(blocks, decoder_head(hf), rms_norm(hf.model.norm))


def phi3(hf) -> Architecture:
    def block(layer):
        a, m, d, inner = (
            layer.self_attn,
            layer.mlp,
            layer.self_attn.head_dim,
            hf.config.intermediate_size,
        )
        queries, keys = hf.config.num_attention_heads * d, hf.config.num_key_value_heads * d
        q, k, v = (
            Linear(a.qkv_proj, slice(start, stop))
            for start, stop in (
                (0, queries),
                (queries, queries + keys),
                (queries + keys, queries + 2 * keys),
            )
        )
        return Block(
            layer,
            a,
            q,
            k,
            v,
            Linear(a.o_proj),
            Linear(m.gate_up_proj, slice(inner, 2 * inner)),
            Linear(m.down_proj),
            fast_activation(hf.config.hidden_act, m.activation_fn),
            Linear(m.gate_up_proj, slice(0, inner)),
            attn_norm=rms_norm(layer.input_layernorm),
            mlp_norm=rms_norm(layer.post_attention_layernorm),
        )

    return Architecture(
        [block(layer) for layer in hf.model.layers], decoder_head(hf), rms_norm(hf.model.norm)
    )


def bert(hf) -> Architecture:
    """BERT, RoBERTa and XLM-RoBERTa with a sequence-classification head."""
    body = hf.base_model

    def block(layer):
        a, m = layer.attention, layer.output
        return Block(
            layer,
            a.self,
            Linear(a.self.query),
            Linear(a.self.key),
            Linear(a.self.value),
            Linear(a.output.dense),
            Linear(layer.intermediate.dense),
            Linear(m.dense),
            fast_activation(hf.config.hidden_act, layer.intermediate.intermediate_act_fn),
            attn_after=layer_norm(a.output.LayerNorm),
            mlp_after=layer_norm(m.LayerNorm),
        )

    if hf.config.model_type == "bert":
        head = Linear(body.pooler.dense), torch.tanh, Linear(hf.classifier)
    else:
        head = Linear(hf.classifier.dense), torch.tanh, Linear(hf.classifier.out_proj)
    return Architecture(
        [block(layer) for layer in body.encoder.layer],
        head,
        embed_norm=layer_norm(body.embeddings.LayerNorm),
        reads_first=True,
    )


def distilbert(hf) -> Architecture:
    def block(layer):
        a, m = layer.attention, layer.ffn
        return Block(
            layer,
            a,
            Linear(a.q_lin),
            Linear(a.k_lin),
            Linear(a.v_lin),
            Linear(a.out_lin),
            Linear(m.lin1),
            Linear(m.lin2),
            fast_activation(hf.config.activation, m.activation),
            attn_after=layer_norm(layer.sa_layer_norm),
            mlp_after=layer_norm(layer.output_layer_norm),
        )

    body = hf.distilbert
    return Architecture(
        [block(layer) for layer in body.transformer.layer],
        (Linear(hf.pre_classifier), F.relu, Linear(hf.classifier)),
        embed_norm=layer_norm(body.embeddings.LayerNorm),
        reads_first=True,
    )


DECODERS = {
    "gpt2": gpt2,
    "gpt_neox": gpt_neox,
    "llama": llama,
    "mistral": llama,
    "qwen2": llama,
    "qwen3": llama,
    "gemma": gemma,
    "gemma2": gemma2,
    "gemma3_text": gemma2,
    "phi3": phi3,
    "olmo2": olmo2,
}

ENCODERS = {"bert": bert, "roberta": bert, "xlm-roberta": bert, "distilbert": distilbert}
FAMILIES = DECODERS | ENCODERS  # by config.model_type


def check_family(model_type: str, class_name: str, name: str) -> str:
    """The family's name, or a UserError that says which families and which heads are supported."""
    if model_type not in FAMILIES:
        raise UserError(
            f"{name} is a model of type {model_type!r}, which is not supported; choose one of type"
            f" {', '.join(sorted(FAMILIES))}."
        )
    if model_type in ENCODERS and not class_name.endswith(CLASSIFIER):
        raise UserError(
            f"{name} is an encoder ({model_type}) without a sequence-classification head"
            f" ({class_name}); give one that was fine-tuned as {CLASSIFIER.removeprefix('For')} on"
            " your labels, or a decoder such as Qwen/Qwen2.5-0.5B."
        )
    return model_type
