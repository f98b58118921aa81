"""Train a small BERT-shaped classifier of Indonesian sentiment, to judge methods on an encoder.
Nothing of it is part of the program.

The training texts are those of the bundled model (`demo_model/texts.py`: SmSA and NusaX without
what equals or nearly copies NusaX valid or test). WordPiece tokens are trained on them, the weights
from random ones on the labels. Printed: the accuracy on NusaX valid after each epoch.

    python assets/build_encoder.py --data FOLDER --out ENCODER
    python -m benchmarks.learned_ranking --model ENCODER --task nusax --data-dir FOLDER/nusax
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

from demo_model.recipe import LABELS, MAX_LENGTH, SOURCE, Recipe
from demo_model.texts import Row, read_nusax, training_texts

EPOCHS = 3
LEARNING_RATE = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("CTSFT_TEST_DATA"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--epochs", type=float, default=EPOCHS)
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the data: --data FOLDER, a folder with nusax/ and smsa/")
    set_seed(options.seed)
    recipe, texts = Recipe(), training_texts(options.data)
    rows = texts.smsa + texts.nusax * recipe.nusax_copies
    tokenizer = BertTokenizer().train_new_from_iterator(
        [row.text for row in rows], recipe.vocab_size
    )
    tokenizer.model_max_length = MAX_LENGTH
    model = build_model(len(tokenizer), tokenizer.pad_token_id, recipe)
    arguments = TrainingArguments(
        # the Trainer wants one; nothing is saved there
        output_dir=tempfile.mkdtemp(prefix="encoder_"),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=LEARNING_RATE,
        weight_decay=recipe.weight_decay,
        lr_scheduler_type="cosine",
        warmup_steps=0.1,
        train_sampling_strategy="group_by_length",
        eval_strategy="epoch",
        save_strategy="no",
        report_to="none",
        dataloader_pin_memory=False,
        disable_tqdm=True,
        logging_steps=50,
        seed=options.seed,
    )
    Trainer(
        model=model,
        args=arguments,
        train_dataset=encoded(rows, tokenizer),
        eval_dataset=encoded(read_nusax(options.data, SOURCE, "valid"), tokenizer),
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=accuracy,
    ).train()
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)


def build_model(vocabulary: int, padding: int, recipe: Recipe) -> BertForSequenceClassification:
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=recipe.width,
        intermediate_size=recipe.mlp,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        max_position_embeddings=MAX_LENGTH,
        pad_token_id=padding,
        id2label=dict(enumerate(LABELS)),
        label2id={label: number for number, label in enumerate(LABELS)},
    )
    return BertForSequenceClassification(config)


def encoded(rows: list[Row], tokenizer: BertTokenizer) -> Dataset:
    ids = tokenizer([row.text for row in rows], truncation=True, max_length=MAX_LENGTH)
    labels = [LABELS.index(row.label) for row in rows]
    return Dataset.from_dict({"input_ids": ids["input_ids"], "labels": labels})


def accuracy(predicted) -> dict[str, float]:
    logits, labels = predicted
    return {"accuracy": float(np.mean(np.argmax(logits, -1) == labels))}


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
