"""What the command line leaves: the newest run, a refusal in one sentence."""

from ctsft import runs


def newest() -> runs.Run:
    return runs.list_runs()[0]


def bad(result, *words):
    code, out, err = result
    assert (code, out) == (2, "") and len(err) == 1 and err[0].startswith("ctsft: "), result
    assert all(str(word) in err[0] for word in words) and "Traceback" not in err[0], err[0]
