"""Tokenizers trained here, on the words of the tiny tasks."""

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from support.tasks import LABELS, WORDS


def byte_level() -> PreTrainedTokenizerFast:
    """Byte-level BPE, trained here: every word of WORDS, and every label with its leading space, is
    one token.
    """
    core = Tokenizer(models.BPE())
    core.pre_tokenizer, core.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    trainer = trainers.BpeTrainer(
        vocab_size=520,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        special_tokens=["<|end|>"],
    )
    core.train_from_iterator([" " + " ".join((*WORDS, *LABELS, "|", "sentiment:"))] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>")


def sentence_piece() -> PreTrainedTokenizerFast:
    """A tokenizer that puts a space of its own in front of every text, as Llama's and Mistral's do,
    and `<s>` before that.
    """
    from tokenizers.processors import TemplateProcessing

    letters = [(c, -9.0) for c in "abcdefghijklmnopqrstuvwxyz|:"]
    pieces = [
        ("<unk>", 0.0),
        ("<s>", 0.0),
        ("▁", -3.0),
        *(("▁" + word, -1.0) for word in (*WORDS, *LABELS)),
        *letters,
    ]
    core = Tokenizer(models.Unigram(pieces, unk_id=0))
    core.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    core.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", bos_token="<s>")
