"""Readers of the encoders, each written from the family's own modeling file."""

import torch

from oracle.naive_net import ACTIVATIONS, Around, Layer, Net
from oracle.naive_weights import (
    copy64,
    d_head_of,
    layer_norm,
    linear,
)


def read_bert(hf) -> Net:
    """BERT, RoBERTa and XLM-RoBERTa: they differ in position numbers and in the classifier's
    names.
    """
    config, body, eps = hf.config, hf.base_model, hf.config.layer_norm_eps
    if config.is_decoder or config.add_cross_attention:
        raise ValueError("BERT as a decoder is not covered by naive.py; use is_decoder=False")
    table, layers = body.embeddings, []
    for block in body.encoder.layer:
        attn = block.attention
        layers.append(
            Layer(
                Around(after=layer_norm(attn.output.LayerNorm, eps)),
                linear(attn.self.query),
                linear(attn.self.key),
                linear(attn.self.value),
                linear(attn.output.dense),
                d_head_of(attn.output.dense, config) ** -0.5,
                Around(after=layer_norm(block.output.LayerNorm, eps)),
                linear(block.intermediate.dense),
                linear(block.output.dense),
            )
        )
    if config.model_type == "bert":
        classifier, pad = [linear(body.pooler.dense), torch.tanh, linear(hf.classifier)], None
    else:
        classifier, pad = (
            [
                linear(hf.classifier.dense),
                torch.tanh,
                linear(hf.classifier.out_proj),
            ],
            config.pad_token_id,
        )
    return Net(
        copy64(table.word_embeddings.weight),
        layers,
        classifier,
        config.num_attention_heads,
        ACTIVATIONS[config.hidden_act],
        pos_embed=copy64(table.position_embeddings.weight)
        + copy64(table.token_type_embeddings.weight)[0],
        pad=pad,
        embed_norm=layer_norm(table.LayerNorm, eps),
        causal=False,
    )


def read_distilbert(hf) -> Net:
    # written into HF's code, not in the config
    config, body, eps = hf.config, hf.distilbert, 1e-12
    layers = [
        Layer(
            Around(after=layer_norm(block.sa_layer_norm, eps)),
            linear(block.attention.q_lin),
            linear(block.attention.k_lin),
            linear(block.attention.v_lin),
            linear(block.attention.out_lin),
            (config.dim // config.n_heads) ** -0.5,
            Around(after=layer_norm(block.output_layer_norm, eps)),
            linear(block.ffn.lin1),
            linear(block.ffn.lin2),
        )
        for block in body.transformer.layer
    ]
    return Net(
        copy64(body.embeddings.word_embeddings.weight),
        layers,
        [linear(hf.pre_classifier), ACTIVATIONS["relu"], linear(hf.classifier)],
        config.n_heads,
        ACTIVATIONS[config.activation],
        pos_embed=copy64(body.embeddings.position_embeddings.weight),
        embed_norm=layer_norm(body.embeddings.LayerNorm, eps),
        causal=False,
    )
