"""Exported HTML pages, read: the tags and what a page would fetch or run."""

import re
from html.parser import HTMLParser

NASTY = '</script><script>window.pwned=1</script><img src=x onerror="window.pwned=1">'


class Tags(HTMLParser):
    """The tags of a page, and what it would fetch or run."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.fetches, self.handlers = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.fetches += [
            f"{tag} {name}={value}"
            for name, value in attrs
            if name in ("src", "href", "srcset", "data") and value[:1] != "#"
        ]
        self.handlers += [f"{tag} {name}" for name, value in attrs if name.startswith("on")]


def without_receipts(page: str) -> str:
    """The page as it reads: figures without their receipts."""
    page = re.sub(r'<script type="application/json" id="receipts">.*?</script>', "", page)
    return re.sub(r"</?data[^>]*>", "", page)


def rest(page: str) -> str:
    """The page less the one script that holds plotly.js; it has to be there, whole."""
    scripts = [
        one for one in re.findall(r"<script[^>]*>.*?</script>", page, re.S) if len(one) > 10**6
    ]
    assert len(scripts) == 1 and "plotly.js v" in scripts[0]
    return page.replace(scripts[0], "")


def at_peace(page: str) -> bool:
    """The page fetches nothing, and no text of it came to life."""
    tags = Tags(rest(page))
    return not (
        tags.fetches
        or tags.handlers
        or {"img", "link", "iframe", "a"} & set(tags.tags)
        or re.search(r"@import|url\(", page[:20000])
    )
