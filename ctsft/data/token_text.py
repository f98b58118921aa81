"""Tokens as text that people can read: never a tokenizer's own spelling of bytes ("Ġ", "å¥"),
whatever the script.
"""

BROKEN = "\ufffd"  # what a decoder gives for a part of a character


def readable_tokens(tokenizer, ids: list[int]) -> list[str]:
    """Each token as the text it adds. A token that only begins a character gives "…", the one that
    completes it the whole character.
    """

    def text(part):
        return tokenizer.decode(part, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    # `start`: the first token of an unfinished character
    pieces, done, start = [], "", 0
    for end in range(1, len(ids) + 1):
        now = text(ids[:end])
        if now.endswith(BROKEN) and end < len(ids) and end - start < 5:
            pieces.append("…")
            continue
        pieces.append(now[len(done) :] if now.startswith(done) else text(ids[start:end]))
        done, start = now, end
    return pieces


def readable_token(tokenizer, token: int) -> str:
    """One token of the vocabulary by itself; one that is no whole character is named by its
    number.
    """
    text = tokenizer.decode([token], skip_special_tokens=False)
    return f"byte token {token}" if BROKEN in text or not text else text
