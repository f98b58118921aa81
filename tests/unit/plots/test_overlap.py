"""Overlap of circuits on sets that one can count by hand; chance against drawing every pair of
circuits.
"""

from itertools import combinations

import numpy as np
import pytest

from ctsft.plots import circuit_overlap, style

A, B, C = (
    frozenset(heads)
    for heads in ([(0, 0), (0, 1), (1, 2)], [(0, 0), (1, 2), (1, 1)], [(1, 0), (1, 1), (0, 2)])
)


THREE = {"one": A, "two": B, "<b>three</b>": C}


@pytest.mark.parametrize(
    ("a", "b", "value"),
    [(A, B, 0.5), (A, A, 1.0), (A, C, 0.0), (frozenset(), A, 0.0), (frozenset(), frozenset(), 1.0)],
)
def test_jaccard(a, b, value):
    assert circuit_overlap.jaccard(a, b) == value == circuit_overlap.jaccard(b, a)


@pytest.mark.parametrize(
    ("n", "a", "b"), [(6, 2, 2), (6, 3, 2), (5, 4, 4), (4, 4, 4), (5, 0, 2), (5, 0, 0), (7, 1, 5)]
)
def test_chance_is_the_mean_over_every_pair_of_circuits(n, a, b):
    first = frozenset(range(a))
    every = [
        circuit_overlap.jaccard(first, frozenset(other)) for other in combinations(range(n), b)
    ]
    assert circuit_overlap.expected_jaccard(n, a, b) == pytest.approx(np.mean(every))


def test_sentences_count_what_is_shared():
    assert (
        circuit_overlap.overlap_sentence({"one": A, "two": B}, 48)
        == "2 of 3 heads are shared, Jaccard 0.50; two random circuits of this size out of 48 heads"
        " reach 0.04 on average."
    )
    assert circuit_overlap.overlap_sentence({"one": A, "two": A | B}, 48).startswith(
        "3 heads are shared by circuits of 3 and 4, Jaccard 0.75; two random circuits of 3 and 4"
    )
    three = circuit_overlap.overlap_sentence(THREE, 6)
    assert (
        "Of the 6 heads in any of them, 0 are in all 3. Closest are A and B (Jaccard 0.50),"
        " farthest A and C (Jaccard 0.00)" in three
    )
    assert circuit_overlap.overlap_sentence({"one": A}, 6) == ""


def test_the_matrix_carries_numbers_and_what_chance_gives():
    fig = circuit_overlap.jaccard_heatmap(THREE, 6)
    assert np.allclose(fig.data[0].z, [[1, 0.5, 0], [0.5, 1, 0.2], [0, 0.2, 1]])
    assert [note.text for note in fig.layout.annotations] == [
        "1.00",
        "0.50",
        "0.00",
        "0.50",
        "1.00",
        "0.20",
        "0.00",
        "0.20",
        "1.00",
    ]
    assert (
        "2 of 4 heads shared" in fig.data[0].text[0][1]
        and f"by chance {circuit_overlap.expected_jaccard(6, 3, 3):.2f}" in fig.data[0].text[0][1]
    )
    assert "A and B 0.50" in style.alt(fig)


def test_the_map_counts_circuits_and_names_them_by_letter():
    fig = circuit_overlap.membership_map(THREE, (2, 3), selected=(1, 1))
    assert [list(row) for row in fig.data[0].z] == [[2, 1, 1], [1, 2, 2]] and (
        fig.data[0].zmin,
        fig.data[0].zmax,
    ) == (0, 3)
    letters = {
        (note.y, note.x): note.text for note in fig.layout.annotations if note.name == "letters"
    }
    assert letters == {
        (0, 0): "AB",
        (0, 1): "A",
        (0, 2): "C",
        (1, 0): "C",
        (1, 1): "BC",
        (1, 2): "AB",
    }
    texts = next(trace for trace in fig.data if trace.name == "heads").text
    assert (
        "in 2 of 3: A, B" in texts[0]
        and "L0.H0 (AB)" in style.alt(fig)
        and not any(trace.name == "outline" for trace in fig.data)
    )
    shared = circuit_overlap.membership_map({"one": A, "two": A}, (2, 3))
    assert any(trace.name == "outline" for trace in shared.data) and "in all of them" in str(
        [note.text for note in shared.layout.annotations]
    )


def test_small_cells_leave_the_letters_to_the_hover():
    fig = circuit_overlap.membership_map({"one": A, "two": B}, (2, 64))
    assert not [note for note in fig.layout.annotations if note.name == "letters"]
    assert "in 2 of 2: A, B" in next(trace for trace in fig.data if trace.name == "heads").text[0]


def test_the_table_says_the_same_and_the_most_shared_come_first():
    table = circuit_overlap.membership_table(THREE)
    assert list(table["head"][:3]) == ["L0.H0", "L1.H1", "L1.H2"] and list(
        table["in how many"]
    ) == [2, 2, 2, 1, 1, 1]
    assert list(table.columns) == ["head", "in how many", "A", "B", "C"] and table.iloc[0][
        ["A", "B", "C"]
    ].tolist() == [True, True, False]
