"""Names of languages in widgets, which do not read Markdown."""


def label(language: str) -> str:
    return language.replace("_", " ").capitalize()
