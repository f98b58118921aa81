"""Weights of a HF model as a `Net`: one reader a block shape, each written from the family's own
modeling file.
"""

import torch

from oracle.naive_encoders import read_bert, read_distilbert
from oracle.naive_net import ACTIVATIONS, Around, Layer, Linear, Net
from oracle.naive_weights import (
    copy64,
    d_head_of,
    decoder,
    head,
    layer_norm,
    linear,
    rms_norm,
    rope,
    separate,
    window,
)


def read_gpt2(hf) -> Net:
    config, body = hf.config, hf.transformer
    if (
        not config.scale_attn_weights
        or config.scale_attn_by_inverse_layer_idx
        or config.add_cross_attention
    ):
        raise ValueError(
            "GPT-2 with other attention than 1/sqrt(d_head) self-attention is not covered by"
            " naive.py"
        )
    width, eps = config.n_embd, config.layer_norm_epsilon

    def conv(module, columns=slice(None)):
        # Conv1D is [in, out] already; c_attn holds q, k, v side by side
        return Linear(copy64(module.weight)[:, columns], copy64(module.bias)[columns])

    layers = [
        Layer(
            Around(layer_norm(block.ln_1, eps)),
            *(conv(block.attn.c_attn, slice(i * width, (i + 1) * width)) for i in range(3)),
            conv(block.attn.c_proj),
            (width // config.n_head) ** -0.5,
            Around(layer_norm(block.ln_2, eps)),
            conv(block.mlp.c_fc),
            conv(block.mlp.c_proj),
        )
        for block in body.h
    ]
    return Net(
        copy64(body.wte.weight),
        layers,
        head(hf),
        config.n_head,
        ACTIVATIONS[config.activation_function],
        pos_embed=copy64(body.wpe.weight),
        final_norm=layer_norm(body.ln_f, eps),
    )


def read_gpt_neox(hf) -> Net:
    config, body, eps = hf.config, hf.gpt_neox, hf.config.layer_norm_eps
    d_head = config.hidden_size // config.num_attention_heads
    turn = rope(config.rope_parameters, d_head, config.rope_parameters["partial_rotary_factor"])
    # query_key_value's rows: head 0's q, k, v, then head 1's q, k, v, ...
    rows = torch.arange(3 * config.hidden_size).reshape(config.num_attention_heads, 3, d_head)
    layers = [
        Layer(
            Around(layer_norm(block.input_layernorm, eps)),
            *(linear(block.attention.query_key_value, rows[:, i].flatten()) for i in range(3)),
            linear(block.attention.dense),
            d_head**-0.5,
            Around(layer_norm(block.post_attention_layernorm, eps)),
            linear(block.mlp.dense_h_to_4h),
            linear(block.mlp.dense_4h_to_h),
            rope=turn,
        )
        for block in body.layers
    ]
    return Net(
        copy64(body.embed_in.weight),
        layers,
        head(hf),
        config.num_attention_heads,
        ACTIVATIONS[config.hidden_act],
        final_norm=layer_norm(body.final_layer_norm, eps),
        parallel=config.use_parallel_residual,
    )


def read_llama(hf) -> Net:
    """Llama, Mistral, Qwen2, Qwen3 (norms each query and key head) and Gemma (unit gains, scaled
    embedding).
    """
    config, body, eps = hf.config, hf.base_model, hf.config.rms_norm_eps
    unit, layers = int(config.model_type == "gemma"), []
    for index, block in enumerate(body.layers):
        attn, parts = block.self_attn, separate(block)
        d_head = d_head_of(attn.o_proj, config)
        if config.model_type == "qwen3":
            parts |= {"q_norm": rms_norm(attn.q_norm, eps), "k_norm": rms_norm(attn.k_norm, eps)}
        layers.append(
            Layer(
                attn=Around(rms_norm(block.input_layernorm, eps, unit)),
                mlp=Around(rms_norm(block.post_attention_layernorm, eps, unit)),
                scale=d_head**-0.5,
                rope=rope(config.rope_parameters, d_head),
                window=window(config, index),
                **parts,
            )
        )
    scale = copy64(body.embed_tokens.embed_scale) if unit else 1.0
    return decoder(hf, layers, config.hidden_act, unit, scale)


def read_gemma2(hf) -> Net:
    """Gemma 2 (caps its scores) and the text part of Gemma 3 (norms queries and keys, one theta per
    layer type).
    """
    config, body, eps = hf.config, hf.base_model, hf.config.rms_norm_eps
    third, layers = config.model_type == "gemma3_text", []
    for index, block in enumerate(body.layers):
        attn, parts, params = block.self_attn, separate(block), config.rope_parameters
        if third:  # HF's Gemma 3 keeps attn_logit_softcapping but never applies it
            params = params[config.layer_types[index]]
            parts |= {
                "q_norm": rms_norm(attn.q_norm, eps, 1),
                "k_norm": rms_norm(attn.k_norm, eps, 1),
            }
        else:
            parts["cap"] = config.attn_logit_softcapping
        layers.append(
            Layer(
                attn=Around(
                    rms_norm(block.input_layernorm, eps, 1),
                    rms_norm(block.post_attention_layernorm, eps, 1),
                ),
                mlp=Around(
                    rms_norm(block.pre_feedforward_layernorm, eps, 1),
                    rms_norm(block.post_feedforward_layernorm, eps, 1),
                ),
                scale=config.query_pre_attn_scalar**-0.5,
                rope=rope(params, config.head_dim),
                window=window(config, index),
                **parts,
            )
        )
    scale = copy64(body.embed_tokens.embed_scale)
    return decoder(hf, layers, config.hidden_activation, 1, scale, config.final_logit_softcapping)


def read_phi3(hf) -> Net:
    config, eps, layers = hf.config, hf.config.rms_norm_eps, []
    for index, block in enumerate(hf.model.layers):
        attn, mlp = block.self_attn, block.mlp
        d_head = d_head_of(attn.o_proj, config)
        queries, pairs = config.num_attention_heads * d_head, config.num_key_value_heads * d_head
        layers.append(
            Layer(
                Around(rms_norm(block.input_layernorm, eps)),
                linear(attn.qkv_proj, slice(queries)),
                linear(attn.qkv_proj, slice(queries, queries + pairs)),
                linear(attn.qkv_proj, slice(queries + pairs, None)),
                linear(attn.o_proj),
                d_head**-0.5,
                Around(rms_norm(block.post_attention_layernorm, eps)),
                up=linear(mlp.gate_up_proj, slice(config.intermediate_size, None)),
                down=linear(mlp.down_proj),
                gate=linear(mlp.gate_up_proj, slice(config.intermediate_size)),
                window=window(config, index),
                rope=rope(
                    config.rope_parameters, d_head, config.rope_parameters["partial_rotary_factor"]
                ),
            )
        )
    return decoder(hf, layers, config.hidden_act)


def read_olmo2(hf) -> Net:
    """No norm before attention and MLP, one after each; queries and keys normed over the whole
    projection.
    """
    config, eps, layers = hf.config, hf.config.rms_norm_eps, []
    for block in hf.model.layers:
        attn, d_head = block.self_attn, d_head_of(block.self_attn.o_proj, config)
        layers.append(
            Layer(
                attn=Around(post=rms_norm(block.post_attention_layernorm, eps)),
                mlp=Around(post=rms_norm(block.post_feedforward_layernorm, eps)),
                q_norm=rms_norm(attn.q_norm, eps),
                k_norm=rms_norm(attn.k_norm, eps),
                scale=d_head**-0.5,
                rope=rope(config.rope_parameters, d_head),
                **separate(block),
            )
        )
    return decoder(hf, layers, config.hidden_act)


READERS = {
    "gpt2": read_gpt2,
    "gpt_neox": read_gpt_neox,
    "llama": read_llama,
    "mistral": read_llama,
    "qwen2": read_llama,
    "qwen3": read_llama,
    "gemma": read_llama,
    "gemma2": read_gemma2,
    "gemma3_text": read_gemma2,
    "phi3": read_phi3,
    "olmo2": read_olmo2,
    "bert": read_bert,
    "roberta": read_bert,
    "xlm-roberta": read_bert,
    "distilbert": read_distilbert,
}


def read(hf) -> Net:
    return READERS[hf.config.model_type](hf)
