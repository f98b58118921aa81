"""Train the bundled demonstration model: a small Qwen2-shaped language model for Indonesian
sentiment.

1. Read NusaX (eight languages) and SmSA (Indonesian) from a folder that holds `nusax/` and `smsa/`
   as published.
2. Remove every text of NusaX valid and test from all training texts: equal texts in any language,
   and near copies. NusaX was translated from edited SmSA texts, so a test text is often in SmSA
   with a word or two changed.
3. Train a byte-level BPE on the training texts, in the layout of Qwen2's tokenizer; every label is
   one token with a leading space. It keeps case, because `AutoTokenizer` rebuilds a qwen2 folder's
   normalizer and would silently lose one that lower-cases. SmSA is all lower case, so half of its
   rows get capitals where sentences start.
4. Train from random weights on
   `lm_weight * (next token over all texts) + (label token at the readout)`.
   The label loss uses Indonesian rows only; of the other languages only the texts are read.
5. Save float16 weights, measure accuracy by argmax over the label tokens at the readout, and write
   the model card from its template in `assets/cards`.

The readout is the last token of the prompt `<sentence> | sentiment:`. Merge dropout draws from a
generator that cannot be seeded, so a second run with the same seed gives a slightly different
model.

Two obstacles can be put in the way of training, so that the label is not read in the first layer
alone: heads that are dropped, most often in layer 0 (`--head-dropout`), and batches in which the
prompt's tail cannot see the text in the lower layers (`--late-share`, `--late-layers`). `--start`
trains on from a folder's weights. The model card says what came of it.

With `--base` the same without step 4's label loss: the twin that has read the same texts, in the
same tokens, and has seen no label. `finetune --what direct` starts from it, which is tuning without
a competence stage.

    # train, measure, write the card
    python assets/build_demo_model.py --data FOLDER
    # the twin without labels, after the model
    python assets/build_demo_model.py --data FOLDER --base
    # a variant that reads the label above layer 2, from the twin's weights
    python assets/build_demo_model.py --data FOLDER --out VARIANT --start assets/demo/base \\
        --epochs 1.5 --learning-rate 5e-4 --lm-weight 0.3 --late-share 0.8 --head-dropout 0.2
    # measure an existing model again
    python assets/build_demo_model.py --data FOLDER --card-only
    # only compare the bundled corpus with the training texts
    python assets/build_demo_model.py --data FOLDER --check-corpus
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
import os
import random
import re
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
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

LABELS = ("negative", "neutral", "positive")
TAIL = " | sentiment:"
SOURCE = "indonesian"
LANGUAGES = (
    "indonesian",
    "acehnese",
    "balinese",
    "buginese",
    "english",
    "javanese",
    "minangkabau",
    "sundanese",
)
HERE = Path(__file__).resolve().parent
CORPUS = HERE / "demo" / "corpus"
CARDS = HERE / "cards"  # templates of the model cards
MAX_LENGTH = 128  # tokens of a prompt
MAX_MEGABYTES = 15
SHINGLE = 10  # letters and digits a shingle
NEAR_COPY = 0.3  # of the shorter text's shingles shared with a held-out text
IGNORE = -100


@dataclass(frozen=True)
class Recipe:
    """Everything that was chosen; of two recipes the better one on NusaX Indonesian valid."""

    vocab_size: int = 4000
    width: int = 192
    layers: int = 6
    heads: int = 8
    kv_heads: int = 2
    mlp: int = 512
    # share of BPE merges skipped in training texts (arXiv 1910.13267)
    merge_dropout: float = 0.1
    token_dropout: float = 0.1  # share of a training text's tokens replaced by <unk>
    lm_weight: float = 1.0
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    warmup: float = 0.05
    batch_size: int = 32
    nusax_copies: int = 3  # how often a NusaX Indonesian row appears in an epoch
    # probability that a head is dropped from a training row: this in layer 0, falling evenly to 0
    # in the last layer
    head_dropout: float = 0.0
    # share of training batches in which the prompt's tail cannot see the text in the layers below
    # `late_layers`, so that the label has to be read above them
    late_share: float = 0.0
    late_layers: int = 3


@dataclass(frozen=True)
class Row:
    text: str
    label: str | None  # None: the text is read, the label is not


# ---- data ------------------------------------------------------------------


def fold(text: str) -> str:
    """The text lower-cased, with letters and digits only."""
    return "".join(c for c in text.lower() if c.isalnum())


def shingles(text: str) -> set[str]:
    folded = fold(text)
    return {folded[i : i + SHINGLE] for i in range(max(1, len(folded) - SHINGLE + 1))}


def tidy(text: str) -> str:
    """SmSA text with its punctuation and the clitic `nya` joined to the word before, as ordinary
    text has them.
    """
    return re.sub(r" nya\b", "nya", re.sub(r" ([,.!?;:)%])", r"\1", text)).strip()


def capitalize_sentences(text: str) -> str:
    return re.sub(r"(^|[.!?] )([a-z])", lambda start: start[1] + start[2].upper(), text)


def read_csv(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise SystemExit(
            f"{path} is missing; --data must name a folder with nusax/ and smsa/ as their"
            " publishers give them"
        )
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_nusax(data: Path, language: str, split: str) -> list[Row]:
    return [
        Row(row["text"].strip(), row["label"])
        for row in read_csv(data / "nusax" / language / f"{split}.csv")
    ]


def read_smsa(data: Path) -> list[Row]:
    rows = []
    for split in ("train", "valid"):
        path = data / "smsa" / f"{split}_preprocess.tsv"
        if not path.is_file():
            raise SystemExit(
                f"{path} is missing; --data must name a folder with nusax/ and smsa/ as their"
                " publishers give them"
            )
        for line in path.read_text(encoding="utf-8").splitlines():
            text, label = line.split("\t")
            text = tidy(text)
            rows.append(Row(capitalize_sentences(text) if len(rows) % 2 else text, label))
    return rows


class HeldOut:
    """The texts no training row may equal or nearly copy."""

    def __init__(self, rows: Iterable[Row]):
        self.shingles = [shingles(row.text) for row in rows]
        self.folded = {fold(row.text) for row in rows}
        # shingle -> held-out texts that contain it
        self.where: dict[str, list[int]] = defaultdict(list)
        for i, found in enumerate(self.shingles):
            for shingle in found:
                self.where[shingle].append(i)

    def verdict(self, row: Row) -> str:
        """`equal`, `near copy` or `kept`."""
        if fold(row.text) in self.folded:
            return "equal"
        mine = shingles(row.text)
        shared = Counter(i for shingle in mine for i in self.where.get(shingle, ()))
        overlap = max(
            (n / min(len(mine), len(self.shingles[i])) for i, n in shared.items()), default=0.0
        )
        return "near copy" if overlap >= NEAR_COPY else "kept"


@dataclass(frozen=True)
class TrainingTexts:
    smsa: list[Row]
    nusax: list[Row]  # Indonesian, labelled
    others: list[Row]  # seven languages, no labels
    removed: dict[str, dict[str, int]]  # set -> verdict -> rows

    def distinct(self) -> list[Row]:
        return [*self.smsa, *self.nusax, *self.others]


def training_texts(data: Path) -> TrainingTexts:
    held_out = HeldOut(
        [
            row
            for name in LANGUAGES
            for split in ("valid", "test")
            for row in read_nusax(data, name, split)
        ]
    )
    removed: dict[str, dict[str, int]] = {}

    def clean(name: str, rows: list[Row]) -> list[Row]:
        verdicts = [held_out.verdict(row) for row in rows]
        # NusaX's own split is its publishers': there only an equal text goes, for SmSA near copies
        # go too.
        gone = {"equal", "near copy"} if name == "SmSA" else {"equal"}
        removed[name] = {verdict: verdicts.count(verdict) for verdict in sorted(gone)}
        return [row for row, verdict in zip(rows, verdicts, strict=True) if verdict not in gone]

    smsa = clean("SmSA", read_smsa(data))
    nusax = clean("NusaX Indonesian train", read_nusax(data, SOURCE, "train"))
    unlabelled = [
        Row(row.text, None)
        for name in LANGUAGES
        if name != SOURCE
        for row in read_nusax(data, name, "train")
    ]
    others = clean("NusaX train, other languages", unlabelled)
    for name, counts in removed.items():
        print(
            f"removed from {name}: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
        )
    print(
        f"training rows: SmSA {len(smsa)}, NusaX Indonesian {len(nusax)}, other languages without"
        f" labels {len(others)}"
    )
    return TrainingTexts(smsa, nusax, others, removed)


# ---- tokenizer -------------------------------------------------------------


def label_ids(tokenizer: Qwen2Tokenizer) -> list[int]:
    """One token id per label; raises if a label with its leading space is not one token."""
    ids = [tokenizer.encode(f" {label}") for label in LABELS]
    for label, pieces in zip(LABELS, ids, strict=True):
        if len(pieces) != 1:
            raise ValueError(
                f"' {label}' became {tokenizer.convert_ids_to_tokens(pieces)}; every label must be"
                " one token"
            )
    return [pieces[0] for pieces in ids]


def build_tokenizer(texts: TrainingTexts, recipe: Recipe) -> Qwen2Tokenizer:
    # often enough that each label becomes one token
    prompts = [TAIL + f" {label}" for label in LABELS] * 1000
    empty = Qwen2Tokenizer(eos_token="<|endoftext|>", pad_token="<pad>", unk_token="<unk>")
    tokenizer = empty.train_new_from_iterator(
        [row.text for row in texts.distinct()] + prompts, recipe.vocab_size
    )
    tokenizer.padding_side = "right"
    tokenizer.model_max_length = 2 * MAX_LENGTH
    label_ids(tokenizer)
    return tokenizer


def encode_prompt(
    tokenizer: Qwen2Tokenizer, text: str, reader: Qwen2Tokenizer | None = None
) -> list[int]:
    """Ids of `<text> | sentiment:`, at most MAX_LENGTH; a longer text loses its end, the tail stays
    whole.

    `reader` encodes the text in the tokenizer's place.
    """
    tail = tokenizer.encode(TAIL)
    return (reader or tokenizer).encode(text)[: MAX_LENGTH - len(tail)] + tail


# ---- training --------------------------------------------------------------


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


# ---- measuring -------------------------------------------------------------


@torch.no_grad()
def accuracy(model, tokenizer: Qwen2Tokenizer, rows: list[Row], batch_size: int = 50) -> float:
    """Share of rows whose label wins the argmax over the label tokens at the readout."""
    model.eval()
    choices = torch.tensor(label_ids(tokenizer))
    right = 0
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        encoded = tokenizer.pad(
            {"input_ids": [encode_prompt(tokenizer, row.text) for row in batch]},
            return_tensors="pt",
        )
        readout = encoded["attention_mask"].sum(1) - 1  # [batch]
        logits = model(**encoded).logits[torch.arange(len(batch)), readout]  # [batch, vocab]
        chosen = logits[:, choices].argmax(-1).tolist()
        right += sum(LABELS[i] == row.label for i, row in zip(chosen, batch, strict=True))
    return right / len(rows)


def measure(data: Path, out: Path) -> dict[str, dict[str, float]]:
    """Language -> column -> accuracy of the saved model, computed in float32."""
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32),
        AutoTokenizer.from_pretrained(out),
    )
    table = {}
    for name in LANGUAGES:
        columns = {f"NusaX {split}": read_nusax(data, name, split) for split in ("valid", "test")}
        for split in ("valid", "test"):
            corpus = CORPUS / name / f"{split}.csv"
            if corpus.is_file():
                columns[f"bundled corpus {split}"] = [
                    Row(row["text"], row["label"]) for row in read_csv(corpus)
                ]
        table[name] = {column: accuracy(model, tokenizer, rows) for column, rows in columns.items()}
        print(
            name,
            ", ".join(f"{column} {score:.3f}" for column, score in table[name].items()),
            flush=True,
        )
    return table


def corpus_overlap(texts: TrainingTexts) -> list[str]:
    """Lines that name each bundled sentence whose folded text was trained on."""
    seen = {fold(row.text) for row in texts.distinct()}
    return [
        f"{path.relative_to(CORPUS)} {row['id']}: {row['text']}"
        for path in sorted(CORPUS.glob("*/*.csv"))
        for row in read_csv(path)
        if fold(row["text"]) in seen
    ]


def report_overlap(texts: TrainingTexts) -> None:
    if not CORPUS.is_dir():
        print(f"no bundled corpus in {CORPUS}: nothing to compare with the training texts")
        return
    overlap = corpus_overlap(texts)
    if overlap:
        raise SystemExit(
            "bundled sentences that stand in the training texts; replace them:\n"
            + "\n".join(overlap)
        )
    print("no bundled sentence stands in the training texts")


# ---- model card ------------------------------------------------------------


def accuracy_table(scores: dict[str, dict[str, float]]) -> str:
    columns = list(dict.fromkeys(column for row in scores.values() for column in row))
    lines = ["| language | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in scores.items():
        cells = [
            f"{row[column]:.3f}".removeprefix("0") if column in row else "-" for column in columns
        ]
        lines.append(f"| {name.capitalize()} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_card(out: Path, scores: dict[str, dict[str, float]]) -> None:
    facts = json.loads((out / "training.json").read_text(encoding="utf-8"))
    removed = "; ".join(
        f"{name}: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
        for name, counts in facts.pop("removed").items()
    )
    megabytes = sum(path.stat().st_size for path in out.iterdir() if path.name != "README.md") / 1e6
    if megabytes > MAX_MEGABYTES:
        raise SystemExit(
            f"{out} holds {megabytes:.1f} MB, more than {MAX_MEGABYTES}; use a smaller width or"
            " vocabulary"
        )
    template = CARDS / ("base.md" if facts.get("base", False) else "model.md")
    card = template.read_text(encoding="utf-8").format(
        s="" if facts["threads"] == 1 else "s",
        **facts | asdict(Recipe()) | facts["recipe"],
        removed=removed,
        megabytes=megabytes,
        name=os.path.relpath(out, HERE.parent),
        table=accuracy_table(scores),
        max_length=MAX_LENGTH,
        near_copy=NEAR_COPY,
        shingle=SHINGLE,
    )
    (out / "README.md").write_text(card, encoding="utf-8")


# ---- command line ----------------------------------------------------------

# settings of the recipe that can be given in the command line
OPTIONS = ("learning_rate", "lm_weight", "head_dropout", "late_share", "late_layers")


def option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("CTSFT_TEST_DATA"),
        help="folder with nusax/ and smsa/",
    )
    parser.add_argument(
        "--out", type=Path, help="default: demo/model beside this file, with --base demo/base"
    )
    parser.add_argument(
        "--base",
        action="store_true",
        help="train the twin that sees no label, with the tokenizer of demo/model",
    )
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--start", type=Path, help="folder of a model to train on from")
    for name in OPTIONS:
        default = getattr(Recipe, name)
        parser.add_argument(option(name), type=type(default), default=default)
    parser.add_argument("--epochs", type=float, default=4)
    parser.add_argument("--threads", type=int, default=2)
    verb = parser.add_mutually_exclusive_group()
    verb.add_argument(
        "--card-only", action="store_true", help="measure the model in --out and rewrite its card"
    )
    verb.add_argument(
        "--check-corpus",
        action="store_true",
        help="only compare the bundled corpus with the training texts",
    )
    options = parser.parse_args()
    if options.data is None:
        parser.error(
            "name the data: --data FOLDER or the variable CTSFT_TEST_DATA, a folder with nusax/ and"
            " smsa/"
        )
    options.out = options.out or HERE / "demo" / ("base" if options.base else "model")
    torch.set_num_threads(options.threads)
    random.seed(options.seed)

    texts = training_texts(options.data)
    if options.check_corpus:
        report_overlap(texts)
        return
    if not options.card_only:
        chosen = {name: getattr(options, name) for name in OPTIONS}
        recipe, start = Recipe(**chosen), time.time()
        known = AutoTokenizer.from_pretrained(HERE / "demo" / "model") if options.base else None
        model, tokenizer = train(
            options.data, texts, recipe, options.seed, options.epochs, known, options.start
        )
        minutes = (time.time() - start) / 60
        save(model, tokenizer, options.out)
        facts = {
            "command": (
                f"python assets/build_demo_model.py --data FOLDER{' --base' * options.base} --seed"
                f" {options.seed} --epochs {options.epochs:g}"
                + f" --start {options.start}" * (options.start is not None)
                + "".join(
                    f" {option(name)} {value:g}"
                    for name, value in chosen.items()
                    if value != getattr(Recipe, name)
                )
            ),
            "base": options.base,
            "seed": options.seed,
            "epochs": options.epochs,
            "minutes": round(minutes, 1),
            "threads": options.threads,
            "parameters": model.num_parameters(),
            "smsa": len(texts.smsa),
            "nusax": len(texts.nusax),
            "others": len(texts.others),
            "removed": texts.removed,
            "recipe": asdict(recipe) | {"vocab_size": len(tokenizer)},
        }
        (options.out / "training.json").write_text(
            json.dumps(facts, indent=1) + "\n", encoding="utf-8"
        )
    write_card(options.out, measure(options.data, options.out))
    report_overlap(texts)


if __name__ == "__main__":
    main()
