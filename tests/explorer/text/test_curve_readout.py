"""One line says what the curves show."""

from explorer.text.curve_readout import readout


def evaluation(step: int, source: float, target: float, **texts) -> dict:
    row = {"step": step, "accuracy": {"indonesian": source, "english": target}}
    measured = {name: {"perplexity": value} for name, value in texts.items()}
    return row | ({"perplexity": measured} if measured else {})


def test_the_ends_the_lowest_point_and_the_perplexity():
    rows = [(0, 0.67, 0.33, 34.1), (12, 0.35, 0.4, 36.0), (20, 0.55, 0.51, 35.256)]
    with_texts = [evaluation(*row[:3], words=row[3]) for row in rows]
    curves = "**Indonesian 0.67 → 0.55**, lowest 0.35 at step 12 · **English 0.33 → 0.51**"
    assert readout([evaluation(*row[:3]) for row in rows], "english") == curves
    assert readout(with_texts, "english") == f"{curves} · Perplexity of words 34.10 → 35.26"
    assert readout([], "english") == ""
