"""What the command line leaves: the newest run, a refusal in one sentence."""

import pytest

from ctsft import runs


def newest() -> runs.Run:
    return runs.list_runs()[0]


def bad(result, *words):
    code, out, err = result
    assert (code, out) == (2, "") and len(err) == 1 and err[0].startswith("ctsft: "), result
    assert all(str(word) in err[0] for word in words) and "Traceback" not in err[0], err[0]


def parsed(arguments):
    """The request that the shell makes of some arguments; nothing is run."""
    from ctsft.cli import experiment, export, scoring, scoring_checks, tuning
    from ctsft.cli.main import main

    requests = []
    with pytest.MonkeyPatch.context() as patch:
        for module in (scoring, scoring_checks, tuning, experiment, export):
            patch.setattr(module, "execute", lambda request, as_json: requests.append(request))
        assert main([str(argument) for argument in arguments]) == 0
    return requests[0]
