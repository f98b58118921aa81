"""The recorded pass is the model's own: our attention against Hugging Face's eager one, packing,
padding, taps.
"""

import threading

import pytest
import torch

from ctsft.model.attention import ATTENTION, tapped
from ctsft.model.batching import pack, pad
from ctsft.model.forward import attention_pattern, readout_logits, record
from support.models import FAMILIES
from support.tasks import texts
from support.tiny import tiny

each_family = pytest.mark.parametrize("family", FAMILIES)


ROWS = [[5, 9, 31, 60, 2, 17, 8], [3, 7, 1], [44, 20, 5, 9, 31, 60, 2, 17, 8, 11, 12]]


@each_family
def test_logits_z_and_patterns_are_hugging_faces(family):
    """A padded batch against each text alone in HF's eager attention, with the pattern it gives out
    itself.
    """
    overrides = {"sliding_window": 4} if family == "mistral" else {}
    eager, ours = tiny(family, **overrides), tiny(family, **overrides)
    eager.set_attn_implementation("eager")
    ours.set_attn_implementation(ATTENTION)
    from ctsft.model.model import Model

    model, batch = Model(ours, None), pad(ROWS, "cpu")
    with torch.no_grad():
        trace = record(model, batch)
        for i, row in enumerate(ROWS):
            theirs, n = eager(torch.tensor([row]), output_attentions=True), len(row)
            assert (
                trace.logits[i] - theirs.logits[0, -1]
            ).abs().max() < 1e-5 and theirs.logits.std() > 0.3
            for layer, weights in enumerate(theirs.attentions):
                mine = attention_pattern(trace, layer)[i, :, :n, :n]
                assert (mine - weights[0]).abs().max() < 1e-5
                assert (attention_pattern(trace, layer)[i, :, :n].sum(-1) - 1).abs().max() < 1e-5
                assert (mine.triu(1) == 0).all() and (
                    family != "mistral" or (mine.tril(-4) == 0).all()
                )
    assert (
        len(trace.x) == 4
        and len(trace.z) == len(trace.calls) == 3
        and trace.z[0].shape == (3, 11, 4, 8)
    )
    assert (trace.rotary[0] is None) == (family == "gpt2")


@each_family
def test_a_tap_sees_and_replaces_what_the_output_projection_reads(loaded, family):
    model, batch, seen = loaded[family], pad(ROWS, "cpu"), []
    hook = model.blocks[1].o.module.register_forward_pre_hook(lambda _, args: seen.append(args[0]))

    def halve(call, z):
        return z / 2 if call.module is model.blocks[1].attention else z

    try:
        with torch.no_grad():
            plain = readout_logits(model.hf, batch)
            with tapped(halve):
                halved = readout_logits(model.hf, batch)
            after = readout_logits(model.hf, batch)
    finally:
        hook.remove()
    assert torch.allclose(seen[1], seen[0] / 2) and seen[0].shape == (3, 11, 32)
    assert torch.equal(plain, after) and (plain - halved).abs().max() > 1e-2


def test_a_tap_ends_also_when_the_pass_breaks(loaded):
    def broken(call, z):
        raise RuntimeError("in the middle")

    model, batch = loaded["llama"], pad(ROWS, "cpu")
    with torch.no_grad():
        plain = readout_logits(model.hf, batch)
        with pytest.raises(RuntimeError, match="in the middle"), tapped(broken):
            readout_logits(model.hf, batch)
        with pytest.raises(RuntimeError, match="in the middle"), tapped(broken):
            record_hooks(model, batch)
        assert torch.equal(readout_logits(model.hf, batch), plain)
    assert not any(
        block.module._forward_pre_hooks or block.attention._forward_pre_hooks
        for block in model.blocks
    )


def record_hooks(model, batch):
    """`record` with a tap of the outside put into its own place."""
    from ctsft.model import attention, forward

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forward, "tapped", lambda tap: tapped(attention._tap.get()))
        return forward.record(model, batch)


def test_taps_of_two_threads_do_not_see_each_other(loaded):
    model, seen, ready = loaded["qwen2"], {1: [], 3: []}, threading.Barrier(2, timeout=60)

    def work(n):
        def keep(call, z):
            ready.wait()  # both are inside a pass, both taps are set
            seen[n].append(z.shape[0])
            return z

        with torch.no_grad(), tapped(keep):
            readout_logits(model.hf, pad(ROWS[:n], "cpu"))

    threads = [threading.Thread(target=work, args=(n,)) for n in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen == {1: [1, 1, 1], 3: [3, 3, 3]}


@pytest.mark.parametrize(
    ("budget", "padding"), [(4096, 0.05), (40, 0.05), (40, 0.3), (1, 0.05), (64, 0.0)]
)
def test_packing_holds_every_row_once_within_its_bounds(tokenizer, budget, padding):
    rows = [tokenizer(text)["input_ids"] for text in texts(60, longest=20)]
    batches = list(pack(rows, "cpu", budget, padding))
    assert sorted(i for batch in batches for i in batch.index) == list(range(60))
    for batch in batches:
        area, real = batch.ids.numel(), int(batch.lengths.sum())
        assert area <= budget or len(batch.index) == 1
        assert area - real <= padding * area
        for i, ids, n, mask in zip(
            batch.index,
            batch.ids.tolist(),
            batch.lengths.tolist(),
            batch.real.tolist(),
            strict=True,
        ):
            assert (
                ids[:n] == rows[i]
                and not any(ids[n:])
                and mask == [True] * n + [False] * (len(ids) - n)
            )
    assert (len(batches) == 60) == (budget == 1) and list(pack([], "cpu")) == []


def test_the_readout_is_the_last_real_token():
    batch = pad(ROWS, "cpu")
    assert (
        batch.readout.tolist() == [6, 2, 10]
        and batch.index == [0, 1, 2]
        and batch.ids.shape == (3, 11)
    )
