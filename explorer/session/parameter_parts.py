"""How many parameters each head and each key/value group adds to what is trained, so that the
browser can count for any circuit without asking the server.
"""

import streamlit as st

from ctsft.tuning.trainable import trainable_count
from explorer.session import inputs


@st.cache_data(show_spinner=False, max_entries=32)
def parameter_parts(model: str, weights: str) -> dict:
    """`base`: trained without any head (the norms); `head` and `group`: what a head and, once, its
    key/value group add, by layer; `per_group`: query heads of a group; `total` of the model.

    `weights` is the model's fingerprint.
    """
    loaded = inputs.load_model(model)
    base = trainable_count(loaded, [])
    per_group = loaded.n_heads // loaded.n_kv_heads
    head, group = [], []
    for layer in range(loaded.n_layers):
        one = trainable_count(loaded, [(layer, 0)]) - base
        # a second head of the same group brings only what is its own
        alone = trainable_count(loaded, [(layer, 0), (layer, 1)]) - base - one
        head.append(alone if per_group > 1 else one)
        group.append(one - alone if per_group > 1 else 0)
    return {
        "base": base,
        "head": head,
        "group": group,
        "per_group": per_group,
        "total": loaded.n_params,
    }
