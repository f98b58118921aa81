"""Advice, an experiment and its tables from the shell."""

import json

from ctsft import runs
from ctsft.experiment.trials import (
    trial_run_id,
)
from ctsft.jobs.experiment_design import Design
from ctsft.runs import results as runs_results


def test_advice_from_the_shell_names_heads_and_writes_a_circuit(words, capsys):
    from ctsft.circuit.circuit import Circuit
    from ctsft.cli.main import main

    code = main(
        [
            "advise",
            "--target",
            "javanese",
            "--k",
            "2",
            "--n",
            "6",
            "--model",
            words["model"],
            "--task",
            words["task"],
            "--device",
            "cpu",
        ]
    )
    text = capsys.readouterr().out
    run = runs.list_runs("advise")[0]
    circuit = Circuit.load(run.file("circuit.json"))
    assert (
        code == 0
        and len(circuit) == 2
        and all(f"L{layer}.H{head}" in text for layer, head in circuit.heads)
    )
    assert (
        len(run.file("advice.csv").read_text().splitlines()) == 13
        and runs_results.result(run)["heads"][0]["rank"] == 1
    )


def test_an_experiment_and_its_tables_from_the_shell(words, tmp_path, capsys):
    from ctsft.cli.main import main

    path = tmp_path / "design.json"
    path.write_text(json.dumps(words | {"seeds": [1]}))
    assert (
        main(["experiment", str(path), "--device", "cpu"]) == 0
        and "2 of 2 trials" in capsys.readouterr().out
    )
    experiment_id = runs.list_runs("experiment")[0].id
    assert (
        main(["tables", experiment_id]) == 0 and "| javanese | target |" in capsys.readouterr().out
    )
    assert (
        main(
            ["tables", trial_run_id(experiment_id, Design(**words | {"seeds": [1]}).trials({})[0])]
        )
        == 2
        and "is no experiment" in capsys.readouterr().err
    )
    assert (
        main(["experiment", str(tmp_path / "none.json")]) == 2
        and "does not exist" in capsys.readouterr().err
    )
