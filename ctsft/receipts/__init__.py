"""Receipts: where each figure of a page, a report or a document comes from, and whether it is what
the stored runs give when it is computed again.
"""
