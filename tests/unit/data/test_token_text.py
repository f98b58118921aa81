"""Tokens as text: any script, characters of several tokens, no tokenizer's spelling of bytes."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ctsft.data.token_text import readable_token, readable_tokens


def test_tokens_are_text_whatever_script(tokenizer):
    for text in ("teh panas · 好吃", "قهوة ممتازة جدا", "दाल 👍🏽 ok", "plain tea"):
        ids = tokenizer(text)["input_ids"]
        pieces = readable_tokens(tokenizer, ids)
        assert (
            len(pieces) == len(ids) and "".join(piece for piece in pieces if piece != "…") == text
        )
        assert not any(glyph in "".join(pieces) for glyph in "\ufffdĠÃ")
    assert readable_tokens(tokenizer, []) == []


def test_a_text_cut_inside_a_character_is_still_shown(tokenizer):
    ids = tokenizer("ab 好")["input_ids"][:-1]
    assert len(readable_tokens(tokenizer, ids)) == len(ids)


def test_wordpiece_without_its_hashes():
    core = Tokenizer(
        models.WordPiece({"[UNK]": 0, "tea": 1, "##pot": 2, "hot": 3}, unk_token="[UNK]")
    )
    core.pre_tokenizer, core.decoder = pre_tokenizers.Whitespace(), decoders.WordPiece()
    word_tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]")
    ids = word_tokenizer("hot teapot")["input_ids"]
    assert readable_tokens(word_tokenizer, ids) == ["hot", " tea", "pot"]


def test_a_token_of_the_vocabulary_by_itself(tokenizer):
    ids = tokenizer(" tea 好")["input_ids"]
    assert readable_token(tokenizer, ids[0]) == " tea"
    assert readable_token(tokenizer, ids[-1]) == f"byte token {ids[-1]}"
