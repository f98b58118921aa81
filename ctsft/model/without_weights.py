"""A model without weights: the shape of a model whose runs were recorded, on torch's meta device.
Heads, groups and parameters can be counted; nothing can be computed.
"""

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from ctsft.model.attention import ATTENTION
from ctsft.model.model import Model
from ctsft.runs.recorded_models import RecordedModel


def open_without_weights(recorded: RecordedModel) -> Model:
    """Its fingerprint is that of the weights that the runs were made with; it has no tokenizer."""
    config = AutoConfig.for_model(**recorded.config)
    with torch.device("meta"):
        hf = AutoModelForCausalLM.from_config(config, attn_implementation=ATTENTION)
    model = Model(hf.eval(), None, recorded.name)
    model.fingerprint = recorded.fingerprint
    return model
