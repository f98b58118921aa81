"""Circuits kept on disk: names that cannot leave the folder, nothing overwritten, whatever two
sessions do.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from ctsft.circuit.circuit import Circuit
from explorer.session import saved_circuits
from support.errors import said

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
        saved_circuits.valid_name(words) == name
        and saved_circuits.file_of(words).parent == saved_circuits.folder()
        and saved_circuits.valid_name(name) == name
    )


def test_what_is_kept_comes_back_and_a_taken_name_gets_a_number(home):
    assert saved_circuits.names() == []
    assert (
        saved_circuits.save("mine", ONE) == "mine"
        and saved_circuits.save("mine", TWO) == "mine 2"
        and saved_circuits.save("mine", TWO, {"mine 3"}) == "mine 4"
    )
    assert (
        set(saved_circuits.names()) == {"mine", "mine 2", "mine 4"}
        and saved_circuits.read("mine").heads == ONE.heads
        and saved_circuits.read("mine 2").heads == TWO.heads
    )
    assert {path.name for path in saved_circuits.folder().iterdir()} == {
        "mine.json",
        "mine 2.json",
        "mine 4.json",
    }, "nothing is left behind"


def test_long_names_get_their_number_too(home):
    names = [saved_circuits.save("x" * 60, ONE) for _ in range(3)]
    assert len(set(names)) == 3 and all(
        len(name) <= saved_circuits.LONGEST and saved_circuits.read(name).heads == ONE.heads
        for name in names
    )


def test_renaming_and_removing(home):
    saved_circuits.save("mine", ONE)
    saved_circuits.save("theirs", TWO)
    assert (
        saved_circuits.rename("mine", "theirs", ONE) == "theirs 2"
        and saved_circuits.read("theirs").heads == TWO.heads
    )
    assert saved_circuits.rename("theirs 2", "theirs 2", ONE) == "theirs 2" and set(
        saved_circuits.names()
    ) == {
        "theirs",
        "theirs 2",
    }
    saved_circuits.remove("theirs")
    saved_circuits.remove("theirs")  # another session was first
    assert saved_circuits.names() == ["theirs 2"]
    said(lambda: saved_circuits.read("theirs"), "cannot be read")


def test_sessions_at_the_same_time_never_share_a_file(home):
    circuits = [Circuit(frozenset({(i, 0)}), {(i, 0): "mine"}) for i in range(12)]
    with ThreadPoolExecutor(6) as pool:
        names = list(pool.map(lambda circuit: saved_circuits.save("mine", circuit), circuits))
    assert len(set(names)) == 12 and [saved_circuits.read(name).heads for name in names] == [
        circuit.heads for circuit in circuits
    ]


def test_a_folder_that_cannot_be_written_is_one_sentence(home):
    (home / "circuits").mkdir(parents=True)
    saved_circuits.folder().write_text("a file where the folder should be")
    said(
        lambda: saved_circuits.save("mine", ONE),
        "cannot be saved",
        "check the folder's permissions",
    )
    assert saved_circuits.names() == []
