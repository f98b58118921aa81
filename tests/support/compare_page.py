"""The Compare page: its table, choosing rows of it."""

PAGE = "compare/page.py"


def plain(text: str) -> str:
    """A page's text without the backslashes of Markdown."""
    return text.replace("\\", "")


def table_of(at):
    """The table of runs, as a data frame."""
    return at.dataframe[0].value


def chosen(at, *rows: int):
    """The page with these rows of the table selected."""
    key = at.dataframe[0].proto.id.split("-", 2)[2]
    at.session_state[key] = {"selection": {"rows": list(rows), "columns": [], "cells": []}}
    return at.run()
