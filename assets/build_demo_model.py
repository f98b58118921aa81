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

The steps are the files of `assets/demo_model`.

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
import json
import os
import random
import time
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import AutoTokenizer

from demo_model.card import write_card
from demo_model.measuring import measure, report_overlap
from demo_model.recipe import HERE, Recipe
from demo_model.texts import training_texts
from demo_model.training import save, train

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
