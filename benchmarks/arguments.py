"""The arguments that benchmarks on a model and a task share."""

import argparse


def subject_parser(documentation: str) -> argparse.ArgumentParser:
    """A parser with --model, --task, --data-dir and --language, described by the first line of a
    module's documentation.
    """
    parser = argparse.ArgumentParser(description=documentation.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--task", default="demo")
    parser.add_argument("--data-dir")
    parser.add_argument("--language")
    return parser
