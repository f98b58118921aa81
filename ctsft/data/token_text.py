"""Tokens as text that people can read, in every script, instead of a tokenizer's own spelling of
bytes ("Ġ", "å¥").
"""

# what a decoder returns for an incomplete character
INCOMPLETE = "\ufffd"

# tokens that one character may take
MAX_CHARACTER_TOKENS = 5


def readable_tokens(tokenizer, ids: list[int]) -> list[str]:
    """Each token as the text that it adds. A token that ends inside a character is "…"; the one
    that completes it is the whole character.
    """

    def decode(ids: list[int]) -> str:
        return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    pieces = []
    decoded = ""  # the text before token `start`
    start = 0  # the first token of the current character
    for end in range(1, len(ids) + 1):
        text = decode(ids[:end])
        if text.endswith(INCOMPLETE) and end < len(ids) and end - start < MAX_CHARACTER_TOKENS:
            pieces.append("…")
            continue
        continues = text.startswith(decoded)
        pieces.append(text[len(decoded) :] if continues else decode(ids[start:end]))
        decoded, start = text, end
    return pieces


def readable_token(tokenizer, token: int) -> str:
    """One token of the vocabulary by itself; "byte token 123" if it is not a whole character."""
    text = tokenizer.decode([token], skip_special_tokens=False)
    return f"byte token {token}" if INCOMPLETE in text or not text else text
