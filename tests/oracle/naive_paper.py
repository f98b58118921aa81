"""A GPT-2 that one can decompose on paper, and what comes out.

`paper()` is GPT-2 with d_model 2, two heads of d_head 1, two layers, relu, LayerNorm eps 0, tokens
(0, 1). LayerNorm of (a, b) is here (1, -1) times the sign of a - b; a part (r, s) becomes (r - s) /
|a - b| (1, -1).

    layer 0, total   x = (3, 1), (1, 3); normed (1, -1), (-1, 1); v = 2 normed + 1
                     = (3, -1), (-1, 3); q = 0, so position 1 sees half and half:
                     z = (3, -1), (1, 1).  mu of head 0 = (3 + 1) / 2 = 2
    split head 0     rel (1, 0), (-1, 0)            irrel (2, -1), (2, 1)
    o: (a, a + b)    rel (1, 1), (-1, -1)           irrel (2, 1), (2, 3)
       bias (6, 0)   shared 1 : 2 both times: rel +2, irrel +4
                     rel (3, 1), (1, -1)            irrel (6, 1), (6, 3)
    + x              rel the same                   irrel (9, 2), (7, 6)
                     total (12, 3), (8, 5)
    norm, gain 9     2/9, 7/9 and 2/3, 1/3 of 9:    rel (2, -2), (6, -6); irrel (7, -7), (3, -3)
       bias (8, 0)   shared 3 : 9 and 1 : 7 (the inputs): rel +2, +1; irrel +6, +7
                     rel (4, -2), (7, -6)           irrel (13, -7), (10, -3)
    MLP-in           (a + b, a + 2 b): rel (2, 0), (1, -5); irrel (6, -1), (7, 4)
       bias (8, 0)   shared 2 : 6 and 1 : 7: rel +2, +1; irrel +6, +7
                     rel (4, 0), (2, -5)            irrel (12, -1), (14, 4)
    sign clash       position 1: -5 against 4 -> rel -1, irrel 0
    relu             rel (16 - 12, 0), (16 - 14, 0) = (4, 0), (2, 0); irrel (12, 0), (14, 0)
    MLP-out          (a / 2, -a / 4): rel (2, -1), (1, -1/2); irrel (6, -3), (7, -7/2)
    block            rel (5, 0), (2, -3/2)          irrel (15, -1), (14, 5/2)
    sign clash       position 1: -3/2 against 5/2 -> rel 0, irrel 1; total (20, -1), (16, 1)
    layer 1 norm     gain 105; a - b = 21, 15: rel 105 * 5/21 = 25, 105 * 2/15 = 14; irrel 80, 91;
                     all times (1, -1)
    attention        q = c normed, c = ln 3 / 154, k = v = normed. Rel scores of position 1:
                     14 * 25 c and 14 * 14 c; they differ by 14 * 11 c = ln 3:
                     P_rel = (3/4, 1/4). Totals are equal: P = (1/2, 1/2)
                     z_rel = 3/4 * 25 + 1/4 * 14 = 22.25,
                     z_irrel = 105 - 22.25 = 82.75 (times (1, -1))
                     frozen: (25 + 14) / 2 = 19.5.  frozen, only the readout split: (0 + 14) / 2 = 7
    o: times 4       rel 89, irrel 331;  frozen 78;  readout 28  (of 420, times (1, -1))
    + x              rel (91, -89), irrel (345, -330): total (436, -419); layer 1's MLP is 0
    final norm       gain 855 = 436 + 419: rel 91 + 89 = 180, irrel 675; frozen 80 + 78 = 158;
                     readout 30 + 28 = 58
    logits           a, b, 2 a + b: rel (180, -180, 180), irrel (675, -675, 675)
"""

import math

import torch
import transformers as tf

STEPS = [  # of a split with mean 2: name, rel, irrel
    ("L0.z", [1, 0, -1, 0], [2, -1, 2, 1]),
    ("L0.attn_out", [3, 1, 1, -1], [6, 1, 6, 3]),
    ("L0.attn_add", [3, 1, 1, -1], [9, 2, 7, 6]),
    ("L0.mlp_norm", [4, -2, 7, -6], [13, -7, 10, -3]),
    ("L0.up", [4, 0, 2, -5], [12, -1, 14, 4]),
    ("L0.up_clash", [4, 0, 2, -1], [12, -1, 14, 0]),
    ("L0.act", [4, 0, 2, 0], [12, 0, 14, 0]),
    ("L0.block", [5, 0, 2, -1.5], [15, -1, 14, 2.5]),
    ("L0.block_clash", [5, 0, 2, 0], [15, -1, 14, 1]),
    ("L1.attn_norm", [25, -25, 14, -14], [80, -80, 91, -91]),
]


def paper():
    config = tf.GPT2Config(
        vocab_size=3,
        n_embd=2,
        n_inner=2,
        n_layer=2,
        n_head=2,
        n_positions=2,
        activation_function="relu",
        layer_norm_epsilon=0.0,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
    )
    hf = tf.GPT2LMHeadModel(config).double().eval()
    c = math.log(3) / 154
    numbers = {  # Conv1D: [in, out], so a row says where an input goes
        "transformer.wte.weight": [[3, 1], [0, 4], [0, 0]],
        "transformer.wpe.weight": [[0, 0], [1, -1]],
        "transformer.h.0.ln_1.weight": [1, 1],
        "transformer.h.0.attn.c_attn.weight": [[0, 0, 0, 0, 2, 0], [0, 0, 0, 0, 0, 2]],
        "transformer.h.0.attn.c_attn.bias": [0, 0, 0, 0, 1, 1],
        "transformer.h.0.attn.c_proj.weight": [[1, 1], [0, 1]],
        "transformer.h.0.attn.c_proj.bias": [6, 0],
        "transformer.h.0.ln_2.weight": [9, 9],
        "transformer.h.0.ln_2.bias": [8, 0],
        "transformer.h.0.mlp.c_fc.weight": [[1, 1], [1, 2]],
        "transformer.h.0.mlp.c_fc.bias": [8, 0],
        "transformer.h.0.mlp.c_proj.weight": [[0.5, -0.25], [0, 0]],
        "transformer.h.1.ln_1.weight": [105, 105],
        "transformer.h.1.attn.c_attn.weight": [[c, 0, 1, 0, 1, 0], [0, c, 0, 1, 0, 1]],
        "transformer.h.1.attn.c_proj.weight": [[4, 0], [0, 4]],
        "transformer.h.1.ln_2.weight": [1, 1],
        "transformer.ln_f.weight": [855, 855],
        "lm_head.weight": [[1, 0], [0, 1], [2, 1]],
    }
    with torch.no_grad():
        for name, param in hf.named_parameters():
            param.copy_(torch.tensor(numbers[name]) if name in numbers else torch.zeros_like(param))
    return hf
