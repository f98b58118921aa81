"""Where a prompt ends in tokens: special tokens behind it, a space at its end, the model's
positions and embeddings.
"""

from dataclasses import replace

import pytest
import torch

from ctsft.data.prompt_tokens import appended_tokens, longest_prompt, prompt_notes
from ctsft.model.evaluation import accuracy, label_logits
from ctsft.model.loading import load_model, wrap
from support.checkpoints import copied, end_appended
from support.errors import said
from support.tasks import cued
from support.tiny import tiny
from support.tokenizers import sentence_piece

ROWS = cued(6)


@pytest.fixture
def ending(folders, tmp_path):
    """The tiny Qwen2 with a tokenizer that appends its end-of-text token."""
    return load_model(end_appended(copied(folders["qwen2"], tmp_path / "ending")), "cpu")


def test_a_token_that_the_tokenizer_appends_is_dropped(ending, loaded, task):
    plain = loaded["qwen2"]
    end = ending.tokenizer.eos_token_id
    assert ending.tokenizer("good")["input_ids"][-1] == end and appended_tokens(ending) == [end]
    assert [task.encode(ending, row) for row in ROWS] == [task.encode(plain, row) for row in ROWS]
    assert torch.equal(label_logits(ending, task, ROWS), label_logits(plain, task, ROWS))
    (note,) = prompt_notes(ending, task.prompt, task.max_length)
    assert "<|end|>" in note and "dropped" in note
    assert prompt_notes(plain, task.prompt, task.max_length) == []


def test_a_long_text_is_cut_as_if_nothing_were_appended(ending, loaded, task):
    long = [replace(ROWS[0], text="rain " * 300, fields={"text": "rain " * 300})]
    assert task.encode(ending, long[0]) == task.encode(loaded["qwen2"], long[0])
    assert task.encode(ending, long[0])[-2:] == ending.tokenizer(" sentiment:")["input_ids"][-3:-1]


def test_what_the_prompt_itself_ends_with_stays(ending, task):
    """A special token that is written in the prompt is no appended one."""
    written = replace(task, prompt="{text} | sentiment:<|end|>")
    assert written.encode(ending, ROWS[0]) == [
        *task.encode(ending, ROWS[0]),
        ending.tokenizer.eos_token_id,
    ]


def test_a_token_in_front_stays(task):
    tokenizer = sentence_piece()
    model = wrap(tiny("llama", vocab_size=len(tokenizer), max_position_embeddings=160), tokenizer)
    assert appended_tokens(model) == []
    assert task.encode(model, ROWS[0])[0] == tokenizer.bos_token_id


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_a_classifier_reads_what_it_was_trained_on(ending, task, family):
    hf = tiny(family, kind="classes", vocab_size=len(ending.tokenizer), pad_token_id=0)
    model = wrap(hf, ending.tokenizer)
    assert appended_tokens(model) == [] and task.encode(model, ROWS[0])[-1] == (
        ending.tokenizer.eos_token_id
    )


@pytest.mark.parametrize("end", [" ", "  ", "\t", "\u00a0"])
def test_a_prompt_that_ends_in_a_space_is_named_with_the_remedy(loaded, task, end):
    (note,) = prompt_notes(loaded["qwen2"], task.prompt + end, task.max_length)
    assert "ends in a space" in note and "Remove the space" in note
    assert prompt_notes(loaded["qwen2"], task.prompt + "\n", task.max_length) == []


@pytest.mark.parametrize(
    ("family", "limit"),
    [("gpt2", 20), ("llama", 20), ("bert", 20), ("roberta", 18), ("xlm-roberta", 18)],
)
def test_texts_are_cut_to_the_model_s_positions(tokenizer, task, family, limit):
    """RoBERTa's first position has the number of its padding token, 1, plus 1."""
    size = {"n_positions": 20} if family == "gpt2" else {"max_position_embeddings": 20}
    model = wrap(tiny(family, vocab_size=len(tokenizer), **size), tokenizer)
    if model.classes:
        model.hf.config.id2label = dict(enumerate(task.labels))
    long = [
        replace(row, text="rain " * n, fields={"text": "rain " * n})
        for n in (15, 30, 300)
        for row in ROWS[:1]
    ]
    assert model.max_positions == limit == longest_prompt(model, task.max_length)
    assert [len(task.encode(model, row)) for row in long] == [limit] * 3
    assert tokenizer.decode(task.encode(model, long[0])).endswith(" | sentiment:")
    assert 0 <= accuracy(model, task, long) <= 1  # in the model's positions
    assert f"{limit} tokens" in prompt_notes(model, task.prompt, task.max_length)[-1]
    assert longest_prompt(model, 7) == 7


def test_a_model_of_few_positions_is_loaded_and_a_prompt_too_long_for_it_refused(tokenizer, task):
    model = wrap(tiny("gpt2", vocab_size=len(tokenizer), n_positions=1), tokenizer)
    said(lambda: task.encode(model, ROWS[0]), "alone takes", "of the 1 allowed")


def test_tokens_without_an_embedding_are_named(tokenizer, task):
    """The labels are the last words that the tokenizer learnt."""
    ids = [tokenizer(f" {label}")["input_ids"][0] for label in task.labels]
    whole = wrap(tiny("qwen2", vocab_size=len(tokenizer)), tokenizer)
    assert list(task.label_ids(whole).values()) == ids
    model = wrap(tiny("qwen2", vocab_size=max(ids)), tokenizer)
    said(lambda: task.label_ids(model), f"the token {max(ids)}", f"for {max(ids)} tokens only")
    small = wrap(tiny("qwen2", vocab_size=200), tokenizer)
    said(lambda: task.encode(small, ROWS[0]), "The prompt of example 'c0'", "for 200 tokens only")
