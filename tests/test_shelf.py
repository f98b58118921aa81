"""Circuits kept on disk: names that cannot leave the folder, nothing overwritten, whatever two
sessions do.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
from test_sources import said

from ctsft.circuit.circuit import Circuit
from explorer import shelf

ONE, TWO = (
    Circuit(frozenset(heads), dict.fromkeys(heads, "mine"))
    for heads in ([(0, 1)], [(1, 2), (0, 0)])
)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("my circuit", "my circuit"),
        ("../../etc/passwd", "etc-passwd"),
        ("..", "circuit"),
        ("", "circuit"),
        (" a\tb\nc ", "a-b-c"),
        ("a/b\0c", "a-b-c"),
        ("<script>", "script"),
        ("lingkaran é", "lingkaran é"),
        ("x" * 200, "x" * 50),
        (".hidden", "hidden"),
        ("CON:aux", "CON-aux"),
    ],
)
def test_a_name_is_a_files_name(words, name):
    assert (
        shelf.proper(words) == name
        and shelf.file_of(words).parent == shelf.folder()
        and shelf.proper(name) == name
    )


def test_what_is_kept_comes_back_and_a_taken_name_gets_a_number(home):
    assert shelf.names() == []
    assert (
        shelf.keep("mine", ONE) == "mine"
        and shelf.keep("mine", TWO) == "mine 2"
        and shelf.keep("mine", TWO, {"mine 3"}) == "mine 4"
    )
    assert (
        set(shelf.names()) == {"mine", "mine 2", "mine 4"}
        and shelf.read("mine").heads == ONE.heads
        and shelf.read("mine 2").heads == TWO.heads
    )
    assert {path.name for path in shelf.folder().iterdir()} == {
        "mine.json",
        "mine 2.json",
        "mine 4.json",
    }, "nothing is left behind"


def test_long_names_get_their_number_too(home):
    names = [shelf.keep("x" * 60, ONE) for _ in range(3)]
    assert len(set(names)) == 3 and all(
        len(name) <= shelf.LONGEST and shelf.read(name).heads == ONE.heads for name in names
    )


def test_renaming_and_removing(home):
    shelf.keep("mine", ONE)
    shelf.keep("theirs", TWO)
    assert (
        shelf.rename("mine", "theirs", ONE) == "theirs 2"
        and shelf.read("theirs").heads == TWO.heads
    )
    assert shelf.rename("theirs 2", "theirs 2", ONE) == "theirs 2" and set(shelf.names()) == {
        "theirs",
        "theirs 2",
    }
    shelf.remove("theirs")
    shelf.remove("theirs")  # another session was first
    assert shelf.names() == ["theirs 2"]
    said(lambda: shelf.read("theirs"), "cannot be read")


def test_sessions_at_the_same_time_never_share_a_file(home):
    circuits = [Circuit(frozenset({(i, 0)}), {(i, 0): "mine"}) for i in range(12)]
    with ThreadPoolExecutor(6) as pool:
        names = list(pool.map(lambda circuit: shelf.keep("mine", circuit), circuits))
    assert len(set(names)) == 12 and [shelf.read(name).heads for name in names] == [
        circuit.heads for circuit in circuits
    ]


def test_a_folder_that_cannot_be_written_is_one_sentence(home):
    (home / "circuits").mkdir(parents=True)
    shelf.folder().write_text("a file where the folder should be")
    said(lambda: shelf.keep("mine", ONE), "cannot be kept", "check who may write")
    assert shelf.names() == []
