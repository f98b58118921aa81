"""The stored files that figures are computed from again: run folders, found by their ids, each read
once.
"""

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from ctsft import runs
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.data.registry import load_task
from ctsft.data.task import Example, Task
from ctsft.jobs.requests import AnyRequest, request_of
from ctsft.model.loading import load_model
from ctsft.model.model import Model
from ctsft.runs import results
from ctsft.runs.answers import Answers, answers_of
from ctsft.runs.folder import Run
from ctsft.runs.recorder import ID
from ctsft.utils.errors import UserError


class NotRecomputable(Exception):
    """A figure that cannot be computed again here; its text says why, and what it would take."""


class StoredRun:
    """What a run folder holds, read on request and once. NotRecomputable for what is not there."""

    def __init__(self, run: Run, shelf: dict | None = None):
        """shelf: rows of tasks that runs share."""
        self.run, self.id = run, run.id
        self._shelf = {} if shelf is None else shelf

    @cached_property
    def request(self) -> AnyRequest:
        request = request_of(self.run)
        if request is None:
            raise NotRecomputable(f"the request of run {self.id} cannot be read")
        return request

    @cached_property
    def result(self) -> dict:
        try:
            content = results.checked_result(self.run)
        except UserError as error:
            raise NotRecomputable(f"{error} (run {self.id})") from None
        if not content:
            raise NotRecomputable(f"run {self.id} has no result.json")
        return content

    @cached_property
    def evaluations(self) -> list[dict]:
        return results.evaluations(self.run)

    @cached_property
    def answers(self) -> dict[str, Answers]:
        return answers_of(self.run)

    @cached_property
    def scores(self) -> Scores:
        return self._load("scores.safetensors", Scores.load)

    @cached_property
    def circuit(self) -> Circuit:
        return self._load("circuit.json", Circuit.load)

    @cached_property
    def task(self) -> Task:
        """The task of the run, where its rows are files of this machine."""
        subject = getattr(self.request, "subject", None)
        if subject is None:
            raise NotRecomputable(f"run {self.id} names no task")
        if not (subject.task == "demo" or subject.data_dir or subject.task.endswith(".json")):
            raise NotRecomputable(f"needs the rows of task {subject.task!r}, which are fetched")
        path = subject.task
        if path.endswith(".json") and not os.path.isabs(path) and self.request.cwd:
            path = os.path.join(self.request.cwd, path)
        try:
            return load_task(path, subject.data_dir)
        except UserError as error:
            raise NotRecomputable(f"needs the rows of the task: {error}") from None

    def rows(self, language: str, split: str) -> list[Example]:
        subject = self.request.subject
        key = (subject.task, subject.data_dir, self.request.cwd, language, split)
        if key not in self._shelf:
            try:
                self._shelf[key] = self.task.load(language, split)
            except UserError as error:
                raise NotRecomputable(f"needs the {split} rows of {language}: {error}") from None
        return self._shelf[key]

    @property
    def source(self) -> str:
        request = self.request
        return request.facts.source or request.subject.language or self.task.source

    def _load(self, name: str, load: Callable):
        if not self.run.file(name).is_file():
            raise NotRecomputable(f"run {self.id} has no {name}")
        try:
            return load(self.run.file(name))
        except UserError as error:
            raise NotRecomputable(str(error)) from None


class Evidence:
    """Run folders by id. folders: where they lie (each a folder of run folders); the runs of this
    home and its explorations where none is given.
    """

    def __init__(self, folders: Sequence[Path] = ()):
        self.folders = [Path(folder) for folder in folders]
        self._runs: dict[str, StoredRun] = {}
        self._models: dict[str, Model] = {}
        self._rows: dict = {}

    def run(self, run_id: str) -> StoredRun:
        if run_id not in self._runs:
            self._runs[run_id] = StoredRun(self._find(run_id), self._rows)
        return self._runs[run_id]

    def _find(self, run_id: str) -> Run:
        for folder in self.folders:
            if ID.fullmatch(run_id) and (folder / run_id).is_dir():
                return Run(folder / run_id)
        if self.folders:
            raise NotRecomputable(f"needs run {run_id}, which is not in {self.folders[0]}")
        try:
            return runs.get(run_id)
        except UserError:
            raise NotRecomputable(
                f"needs run {run_id}, which is not on this machine: open its bundle with `ctsft"
                " explorations open`, or name it with --runs"
            ) from None

    def model(self, name: str) -> Model:
        """A model of this machine, loaded once."""
        if name not in self._models:
            try:
                self._models[name] = load_model(name, device="cpu")
            except UserError as error:
                raise NotRecomputable(f"needs the model: {error}") from None
        return self._models[name]
