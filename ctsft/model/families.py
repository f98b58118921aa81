"""The supported model families, one short function each; the only file that names architectures.

A family function lists the modules of a Hugging Face model as an `Architecture`. `FAMILIES` holds
them by `config.model_type`; other programs may add their own to it. Every model that is loaded is
replayed from its list and compared with the original (`ctsft.model.replay`), so that a wrong list
is refused instead of giving wrong scores.
"""

import torch
from torch.nn import functional as F

from ctsft.model.activations import fast_activation, softcap
from ctsft.model.architecture import Architecture, Block, Linear, Norm
from ctsft.utils.errors import UserError

# how the names of Hugging Face's model classes end
CAUSAL_LM = "ForCausalLM"
CLASSIFIER = "ForSequenceClassification"


def rms_norm(module, offset: float = 0.0) -> Norm | None:
    """An RMSNorm module as a `Norm` with gain weight + `offset`; None for None."""
    eps = getattr(module, "variance_epsilon", None) or getattr(module, "eps", None)
    return None if module is None else Norm(module, eps, offset=offset)


def layer_norm(module) -> Norm:
    """A LayerNorm module as a `Norm`."""
    return Norm(module, module.eps, centred=True)


def decoder_head(hf) -> tuple:
    """The head of a decoder: the unembedding for label tokens, or the `score` head for classes."""
    if hasattr(hf, "score"):
        return (Linear(hf.score),)
    unembedding = Linear(hf.get_output_embeddings())
    cap = getattr(hf.config, "final_logit_softcapping", None)
    return (unembedding, softcap(cap)) if cap else (unembedding,)


def gpt2(hf) -> Architecture:
    def block(layer):
        attention, mlp = layer.attn, layer.mlp
        width = attention.embed_dim
        q, k, v = (
            Linear(attention.c_attn, slice(i * width, (i + 1) * width))  # queries, keys, values
            for i in range(3)
        )
        return Block(
            layer,
            attention,
            q=q,
            k=k,
            v=v,
            o=Linear(attention.c_proj),
            up=Linear(mlp.c_fc),
            down=Linear(mlp.c_proj),
            act=fast_activation(hf.config.activation_function, mlp.act),
            attn_norm=layer_norm(layer.ln_1),
            mlp_norm=layer_norm(layer.ln_2),
        )

    body = hf.transformer
    blocks = [block(layer) for layer in body.h]
    return Architecture(blocks, decoder_head(hf), layer_norm(body.ln_f))


def gpt_neox(hf) -> Architecture:
    def block(layer):
        attention, mlp = layer.attention, layer.mlp
        fused = attention.query_key_value
        # the fused projection goes head by head: a head's queries, its keys, its values
        rows = torch.arange(fused.out_features).view(-1, 3, attention.head_size)
        q, k, v = (Linear(fused, rows[:, i].flatten()) for i in range(3))
        return Block(
            layer,
            attention,
            q=q,
            k=k,
            v=v,
            o=Linear(attention.dense),
            up=Linear(mlp.dense_h_to_4h),
            down=Linear(mlp.dense_4h_to_h),
            act=fast_activation(hf.config.hidden_act, mlp.act),
            attn_norm=layer_norm(layer.input_layernorm),
            mlp_norm=layer_norm(layer.post_attention_layernorm),
            parallel=hf.config.use_parallel_residual,
        )

    body = hf.base_model
    blocks = [block(layer) for layer in body.layers]
    return Architecture(blocks, decoder_head(hf), layer_norm(body.final_layer_norm))


def gated_block(hf, layer, offset: float = 0.0, **norm_names) -> Block:
    """A block in Llama's layout with a gated MLP. `norm_names`: {field of `Block`: attribute of
    `layer` that holds this RMSNorm}.
    """
    attention, mlp = layer.self_attn, layer.mlp
    norms = {field: rms_norm(getattr(layer, name), offset) for field, name in norm_names.items()}
    activation = getattr(hf.config, "hidden_activation", None) or hf.config.hidden_act
    return Block(
        layer,
        attention,
        q=Linear(attention.q_proj),
        k=Linear(attention.k_proj),
        v=Linear(attention.v_proj),
        o=Linear(attention.o_proj),
        up=Linear(mlp.up_proj),
        down=Linear(mlp.down_proj),
        gate=Linear(mlp.gate_proj),
        act=fast_activation(activation, mlp.act_fn),
        q_norm=rms_norm(getattr(attention, "q_norm", None), offset),
        k_norm=rms_norm(getattr(attention, "k_norm", None), offset),
        **norms,
    )


def gated_decoder(hf, offset: float = 0.0, **norm_names) -> Architecture:
    """A decoder of `gated_block`s."""
    blocks = [gated_block(hf, layer, offset, **norm_names) for layer in hf.model.layers]
    return Architecture(blocks, decoder_head(hf), rms_norm(hf.model.norm, offset))


def llama(hf, offset: float = 0.0) -> Architecture:
    return gated_decoder(
        hf,
        offset,
        attn_norm="input_layernorm",
        mlp_norm="post_attention_layernorm",
    )


def gemma(hf) -> Architecture:
    return llama(hf, offset=1.0)


def gemma2(hf) -> Architecture:
    return gated_decoder(
        hf,
        offset=1.0,
        attn_norm="input_layernorm",
        attn_post="post_attention_layernorm",
        mlp_norm="pre_feedforward_layernorm",
        mlp_post="post_feedforward_layernorm",
    )


def olmo2(hf) -> Architecture:
    return gated_decoder(
        hf,
        attn_post="post_attention_layernorm",
        mlp_post="post_feedforward_layernorm",
    )


def phi3(hf) -> Architecture:
    def block(layer):
        attention, mlp = layer.self_attn, layer.mlp
        width = hf.config.intermediate_size
        queries = hf.config.num_attention_heads * attention.head_dim
        keys = hf.config.num_key_value_heads * attention.head_dim
        return Block(
            layer,
            attention,
            q=Linear(attention.qkv_proj, slice(0, queries)),
            k=Linear(attention.qkv_proj, slice(queries, queries + keys)),
            v=Linear(attention.qkv_proj, slice(queries + keys, queries + 2 * keys)),
            o=Linear(attention.o_proj),
            gate=Linear(mlp.gate_up_proj, slice(0, width)),
            up=Linear(mlp.gate_up_proj, slice(width, 2 * width)),
            down=Linear(mlp.down_proj),
            act=fast_activation(hf.config.hidden_act, mlp.activation_fn),
            attn_norm=rms_norm(layer.input_layernorm),
            mlp_norm=rms_norm(layer.post_attention_layernorm),
        )

    blocks = [block(layer) for layer in hf.model.layers]
    return Architecture(blocks, decoder_head(hf), rms_norm(hf.model.norm))


def bert(hf) -> Architecture:
    """BERT, RoBERTa and XLM-RoBERTa with a sequence-classification head."""

    def block(layer):
        attention, intermediate, output = layer.attention, layer.intermediate, layer.output
        return Block(
            layer,
            attention.self,
            q=Linear(attention.self.query),
            k=Linear(attention.self.key),
            v=Linear(attention.self.value),
            o=Linear(attention.output.dense),
            up=Linear(intermediate.dense),
            down=Linear(output.dense),
            act=fast_activation(hf.config.hidden_act, intermediate.intermediate_act_fn),
            attn_after=layer_norm(attention.output.LayerNorm),
            mlp_after=layer_norm(output.LayerNorm),
        )

    body = hf.base_model
    if hf.config.model_type == "bert":
        head = (Linear(body.pooler.dense), torch.tanh, Linear(hf.classifier))
    else:
        head = (Linear(hf.classifier.dense), torch.tanh, Linear(hf.classifier.out_proj))
    blocks = [block(layer) for layer in body.encoder.layer]
    embed_norm = layer_norm(body.embeddings.LayerNorm)
    return Architecture(blocks, head, embed_norm=embed_norm, reads_first=True)


def distilbert(hf) -> Architecture:
    """DistilBERT with a sequence-classification head."""

    def block(layer):
        attention, mlp = layer.attention, layer.ffn
        return Block(
            layer,
            attention,
            q=Linear(attention.q_lin),
            k=Linear(attention.k_lin),
            v=Linear(attention.v_lin),
            o=Linear(attention.out_lin),
            up=Linear(mlp.lin1),
            down=Linear(mlp.lin2),
            act=fast_activation(hf.config.activation, mlp.activation),
            attn_after=layer_norm(layer.sa_layer_norm),
            mlp_after=layer_norm(layer.output_layer_norm),
        )

    body = hf.distilbert
    blocks = [block(layer) for layer in body.transformer.layer]
    head = (Linear(hf.pre_classifier), F.relu, Linear(hf.classifier))
    embed_norm = layer_norm(body.embeddings.LayerNorm)
    return Architecture(blocks, head, embed_norm=embed_norm, reads_first=True)


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
ENCODERS = {
    "bert": bert,
    "roberta": bert,
    "xlm-roberta": bert,
    "distilbert": distilbert,
}
# encoders whose first position has the number of the padding token plus 1
POSITIONS_BEHIND_PADDING = ("roberta", "xlm-roberta")
FAMILIES = DECODERS | ENCODERS  # {config.model_type: family function}


def check_family(model_type: str, class_name: str, name: str) -> str:
    """`model_type`, if it is supported with the head of this model class. `name` is what the user
    calls the model.

    UserError names the supported families, or the head that an encoder needs.
    """
    if model_type not in FAMILIES:
        raise UserError(
            f"{name} is a model of type {model_type!r}, which is not supported; choose one of type"
            f" {', '.join(sorted(FAMILIES))}."
        )
    if model_type in ENCODERS and not class_name.endswith(CLASSIFIER):
        raise UserError(
            f"{name} is an encoder ({model_type}) without a sequence-classification head"
            f" ({class_name}); choose one that was fine-tuned as"
            f" {CLASSIFIER.removeprefix('For')} on your labels, or a decoder such as"
            " Qwen/Qwen2.5-0.5B."
        )
    return model_type
