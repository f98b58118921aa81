"""The benchmark of CD-T's steps: it finds what each operation is for."""

from benchmarks import cdt_profile
from ctsft.model import activations


def test_the_shares_add_up_and_name_every_step(capsys):
    cdt_profile.main(["--model", "tiny", "--texts", "2", "--tokens", "8"])
    lines = capsys.readouterr().out.splitlines()[2:]
    share = {line[:26].strip(): float(line[26:33]) for line in lines}
    assert abs(sum(share.values()) - 1) < 0.02
    assert set(cdt_profile.STEPS.values()) <= set(share)
    assert share["the rest"] < 0.2


def test_the_two_paths_are_compared_on_the_same_bits(capsys):
    cdt_profile.main(["--model", "tiny", "--texts", "2", "--tokens", "8", "--compare", "1"])
    assert "times faster), the same bits" in capsys.readouterr().out
    assert activations.PIECE == 400_000
