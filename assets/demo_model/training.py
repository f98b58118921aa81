"""The training of the bundled model, with its obstacles, and the saved folder."""

from __future__ import annotations

import copy
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch
from datasets import Dataset
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2Tokenizer,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from demo_model.measuring import accuracy
from demo_model.recipe import LABELS, MAX_LENGTH, SOURCE, TAIL, Recipe
from demo_model.texts import Row, TrainingTexts, read_nusax
from demo_model.tokens import build_tokenizer, encode_prompt, label_ids

IGNORE = -100


def build_model(tokenizer: Qwen2Tokenizer, recipe: Recipe) -> Qwen2ForCausalLM:
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=recipe.width,
        intermediate_size=recipe.mlp,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.kv_heads,
        max_position_embeddings=2 * MAX_LENGTH,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen2ForCausalLM(config)


class Collator:
    """Encodes with fresh merge dropout, pads right, drops tokens from the inputs; the targets stay
    whole.
    """

    def __init__(self, tokenizer: Qwen2Tokenizer, recipe: Recipe):
        self.tokenizer, self.token_dropout = tokenizer, recipe.token_dropout
        self.reader = copy.deepcopy(tokenizer)
        self.reader.backend_tokenizer.model.dropout = recipe.merge_dropout
        self.tail_length = len(tokenizer.encode(TAIL))

    def __call__(self, features: list[dict]) -> dict[str, torch.Tensor]:
        ids = [
            torch.tensor(encode_prompt(self.tokenizer, f["text"], self.reader)) for f in features
        ]
        targets = pad_sequence(ids, batch_first=True, padding_value=IGNORE)  # [batch, pos]
        readout = (targets != IGNORE).sum(1) - 1  # [batch]
        # [batch, pos]
        in_text = torch.arange(targets.shape[1]) <= (readout - self.tail_length)[:, None]
        dropped = in_text & (torch.rand(targets.shape) < self.token_dropout)
        inputs = targets.masked_fill(targets == IGNORE, self.tokenizer.pad_token_id)
        return {
            "input_ids": inputs.masked_fill(dropped, self.tokenizer.unk_token_id),
            "labels": targets,
            "readout": readout,
            "answer": torch.tensor([f["answer"] for f in features]),  # [batch]
        }


class Obstacles:
    """What a training batch has to do without: heads, and the tail's view of the text in lower
    layers. Nothing is dropped in evaluation mode.
    """

    def __init__(self, model: Qwen2ForCausalLM, recipe: Recipe, tail_length: int):
        self.recipe, self.tail_length, self.heads = recipe, tail_length, recipe.heads
        self.readout: torch.Tensor | None = None  # [batch], set with every batch
        self.late = False
        last = max(1, recipe.layers - 1)
        for i, layer in enumerate(model.model.layers):
            rate = recipe.head_dropout * (1 - i / last)
            if rate > 0:
                layer.self_attn.o_proj.register_forward_pre_hook(self.head_dropper(rate))
            if recipe.late_share > 0 and i < recipe.late_layers:
                layer.self_attn.register_forward_pre_hook(self.hide_text, with_kwargs=True)

    def batch(self, readout: torch.Tensor) -> None:
        self.readout = readout
        self.late = bool(torch.rand(()) < self.recipe.late_share)

    def head_dropper(self, rate: float):
        def drop(module, inputs):
            (z,) = inputs  # [batch, pos, head * d_head]
            if not module.training:
                return None
            survives = (torch.rand(len(z), 1, self.heads, 1) >= rate).to(z) / (1 - rate)
            return ((z.unflatten(-1, (self.heads, -1)) * survives).flatten(-2),)

        return drop

    def hide_text(self, module, inputs, kwargs):
        if not (module.training and self.late):
            return None
        pos = torch.arange(kwargs["hidden_states"].shape[1])
        first = self.readout - self.tail_length + 1  # [batch], the tail's first position
        in_tail = pos >= first[:, None]  # [batch, pos]
        causal = pos[:, None] >= pos  # [query, key]
        hidden = in_tail[:, :, None] & ~in_tail[:, None, :]  # [batch, query, key]
        return inputs, kwargs | {"attention_mask": (causal & ~hidden)[:, None]}


class ReadoutTrainer(Trainer):
    """Next-token loss over the prompts plus, where a label is given, its cross-entropy at the
    readout.
    """

    def __init__(
        self,
        *args,
        lm_weight: float,
        token_weight: torch.Tensor,
        obstacles: Obstacles,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self.lm_weight, self.obstacles = lm_weight, obstacles
        self.token_weight = token_weight  # [vocab], balances the labels

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        # Right padding under a causal mask: no real position sees a padded one, so no attention
        # mask is needed.
        self.obstacles.batch(inputs["readout"])
        outputs = model(input_ids=inputs["input_ids"])
        logits = outputs.logits.float()  # [batch, pos, vocab]
        language = F.cross_entropy(
            logits[:, :-1].flatten(0, 1), inputs["labels"][:, 1:].flatten(), ignore_index=IGNORE
        )
        labelled = inputs["answer"] != IGNORE  # [batch]
        # [labelled, vocab]
        at_readout = logits[torch.arange(len(logits)), inputs["readout"]][labelled]
        answer = inputs["answer"][labelled]
        weight = self.token_weight.to(logits)[answer]
        label = (weight * F.cross_entropy(at_readout, answer, reduction="none")).sum() / max(
            1, len(answer)
        )
        loss = self.lm_weight * language + label
        return (loss, outputs) if return_outputs else loss


class PrintValid(TrainerCallback):
    def __init__(self, tokenizer: Qwen2Tokenizer, rows: list[Row]):
        self.tokenizer, self.rows, self.start = tokenizer, rows, time.time()

    def on_epoch_end(self, args, state, control, model=None, **kwargs):
        score = accuracy(model, self.tokenizer, self.rows)
        print(
            f"epoch {state.epoch:.0f}: valid accuracy {score:.3f},"
            f" {time.time() - self.start:.0f} s",
            flush=True,
        )
        model.train()


def train(
    data: Path,
    texts: TrainingTexts,
    recipe: Recipe,
    seed: int,
    epochs: float,
    tokenizer: Qwen2Tokenizer | None = None,
    start: Path | None = None,
):
    """The trained float32 model and its tokenizer. With a tokenizer given: the twin that sees no
    label. With `start`: on from that folder's weights, in its tokens.
    """
    set_seed(seed)
    labelled = tokenizer is None
    if start is None:
        tokenizer = tokenizer or build_tokenizer(texts, recipe)
        model = build_model(tokenizer, recipe)
    else:
        tokenizer = AutoTokenizer.from_pretrained(start)
        model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
    ids = dict(zip(LABELS, label_ids(tokenizer), strict=True))
    rows = texts.smsa + texts.nusax * recipe.nusax_copies + texts.others
    examples = [
        {
            "text": row.text,
            "length": len(encode_prompt(tokenizer, row.text)),
            "answer": ids.get(row.label, IGNORE) if labelled else IGNORE,
        }
        for row in rows
    ]
    counts = Counter(row.label for row in rows if row.label is not None)
    token_weight = torch.zeros(len(tokenizer))
    for label, token in ids.items():
        token_weight[token] = (counts.total() / (len(LABELS) * counts[label])) ** 0.5
    arguments = TrainingArguments(
        # the Trainer wants one; nothing is saved there
        output_dir=tempfile.mkdtemp(prefix="demo_model_"),
        num_train_epochs=epochs,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        adam_beta2=0.98,
        lr_scheduler_type="cosine",
        warmup_steps=recipe.warmup,
        train_sampling_strategy="group_by_length",
        remove_unused_columns=False,
        save_strategy="no",
        report_to="none",
        dataloader_pin_memory=False,
        disable_tqdm=True,
        logging_steps=200,
        seed=seed,
    )
    trainer = ReadoutTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(examples),
        data_collator=Collator(tokenizer, recipe),
        callbacks=[PrintValid(tokenizer, read_nusax(data, SOURCE, "valid"))],
        lm_weight=recipe.lm_weight,
        token_weight=token_weight,
        obstacles=Obstacles(model, recipe, len(tokenizer.encode(TAIL))),
    )
    trainer.train()
    return model.cpu().eval(), tokenizer


def save(model: Qwen2ForCausalLM, tokenizer: Qwen2Tokenizer, out: Path) -> None:
    """Float16 weights and the tokenizer; raises if the plain Auto classes read them differently."""
    out.mkdir(parents=True, exist_ok=True)
    model.config.use_cache = True
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)  # safetensors leaves it readable by its owner only
    again = AutoTokenizer.from_pretrained(out)
    probe = "Makanannya ENAK, harga 12 ribu!" + TAIL
    if again.encode(probe) != tokenizer.encode(probe):
        raise ValueError(
            f"{out}: the saved tokenizer reads {probe!r} as {again.tokenize(probe)}, not as"
            f" {tokenizer.tokenize(probe)}"
        )
