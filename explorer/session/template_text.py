"""The text of a templates file while it is edited on the page: an example that fits the task, and
copies in the user's folder, which outlive a reload and which a run's command names.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from ctsft.circuit.template_effects import naming
from ctsft.data.task import Task
from ctsft.data.templates import Template, read_templates, template_tasks
from ctsft.model.model import Model
from ctsft.utils.atomic_files import write_text
from ctsft.utils.errors import UserError, quoted
from ctsft.utils.file_names import slug
from ctsft.utils.home import home, home_folder
from ctsft.utils.json_files import read_regular
from explorer.session import uploads

FOLDER = "templates"
WORD = re.compile(r"[^\W\d_]+")
MOST_CHARACTERS = 100_000


def example(task: Task) -> str:
    """Three templates of the task: its own prompt, and two others with the same columns."""
    columns = " ".join(f"{{{name}}}" for name in dict.fromkeys(task.columns))
    words = WORD.findall(task.prompt.rpartition("}")[2])
    asked = words[-1] if words else "answer"
    others = {
        "other word": f"{columns} | {'answer' if asked != 'answer' else 'label'}:",
        "in front": f"{asked} of {columns} |:",
        "in words": f"{columns} The {asked} is",
    }
    named = {name: prompt for name, prompt in others.items() if prompt != task.prompt}
    chosen = {"of the task": task.prompt, **dict(list(named.items())[:2])}
    return text_of(Template(name, prompt) for name, prompt in chosen.items())


def text_of(templates: Iterable[Template]) -> str:
    """The templates as the text of a file, one on each line."""
    entries = [
        {"name": one.name}
        | ({"prompt": one.prompt} if one.prompt else {})
        | ({"labels": one.words} if one.words else {})
        for one in templates
    ]
    lines = [f" {json.dumps(entry, ensure_ascii=False)}" for entry in entries]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def file_name(task: str, data_dir: str) -> str:
    """Of the text that is edited for a task."""
    return f"{slug(Path(task).stem, 'task')}-{short_hash(f'{task} {data_dir}')}.json"


def short_hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=4).hexdigest()


def stored(name: str) -> str:
    """The text that was edited last; "" where there is none that can be read."""
    try:
        return read_regular(home() / FOLDER / uploads.place() / name).decode()
    except (OSError, ValueError, UserError):
        return ""


def save(name: str, text: str) -> Path:
    """Store a text. UserError for one that is too long."""
    if len(text) > MOST_CHARACTERS:
        raise UserError(
            f"The templates have {len(text):,} characters, and at most {MOST_CHARACTERS:,} can be"
            " edited here; use `python -m ctsft validate --templates FILE`."
        )
    path = home_folder(FOLDER, uploads.place()) / name
    if not path.is_file() or stored(name) != text:
        write_text(path, text, "the templates")
    return path


def save_copy(name: str, text: str) -> Path:
    """A copy that stays as it is when the text is edited again: the command of a run names it."""
    return save(f"{Path(name).stem}-{short_hash(text)}.json", text)


def uploaded(name: str, content: bytes) -> str:
    """The text of an uploaded file. UserError where it is none."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(
            f"The file {quoted(name)} is not text in UTF-8; upload a JSON list of templates."
        ) from None


def read(name: str, text: str, task: Task, model: Model) -> tuple[Template, ...]:
    """The templates of a text. UserError, one sentence, where they cannot be used with the task or
    the model.
    """
    templates = read_templates(save(name, text))
    for title, one in template_tasks(task, templates).items():
        with naming(f"Template {quoted(title)}"):
            one.label_ids(model)
    return templates
