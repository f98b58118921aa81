"""The accuracy of the bundled model, and whether its corpus is unseen."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Qwen2Tokenizer,
)

from demo_model.recipe import HERE, LABELS, LANGUAGES
from demo_model.texts import Row, TrainingTexts, fold, read_csv, read_nusax
from demo_model.tokens import encode_prompt, label_ids

CORPUS = HERE / "demo" / "corpus"


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
