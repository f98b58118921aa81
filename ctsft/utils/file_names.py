"""Names that are safe as the name of a file or a folder on every system."""

import re


def slug(text: str, default: str, also: str = "", longest: int = 60) -> str:
    """`text` with letters of any alphabet, digits, "_" and "-" only; anything between becomes "-".

    `also`: further characters that stay, for example ".". Spaces, dots and "-" at either end are
    removed. `default` is the name where nothing remains.
    """
    safe = re.sub(rf"[^\w{re.escape(also)}-]+", "-", str(text))
    return safe.strip(" .-")[:longest].strip(" .-") or default
