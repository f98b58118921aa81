"""Files of a run on the Hugging Face hub. The token is the one that `hf auth login` or HF_TOKEN
gives; it is read by huggingface_hub alone, and never written, shown or taken as an argument.
"""

from pathlib import Path

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError

from ctsft.model.model_files import HUB_NAME
from ctsft.utils.errors import UserError, quoted

LOGIN = "log in with `hf auth login`, or set HF_TOKEN to a token that may write"


def check_upload(repo: str):
    """UserError for a name that no repository can have, and where nobody is logged in."""
    if not HUB_NAME.fullmatch(repo):
        raise UserError(
            f"{quoted(repo)} is no name of a repository; write one such as your-name/tuned."
        )
    if get_token() is None:
        raise UserError(f"Nobody is logged in to the hub; {LOGIN}.")


def upload(folder: Path, repo: str, private: bool = False) -> str:
    """Upload a folder's files to a model repository as one commit; returns its address. A
    repository that does not exist is made, private or as the hub's default says. UserError when
    the hub refuses or cannot be reached.
    """
    check_upload(repo)
    api = HfApi()
    try:
        made = api.create_repo(repo, private=private or None, exist_ok=True)
        api.upload_folder(
            repo_id=made.repo_id, folder_path=folder, commit_message="Upload with ctsft"
        )
    except HfHubHTTPError as error:
        code = error.response.status_code
        advice = LOGIN if code in (401, 403) else "try again later, or write a folder with --to"
        raise UserError(f"The hub refused {quoted(repo)} (answer {code}); {advice}.") from None
    except Exception as error:  # httpx, huggingface_hub and the operating system have their own
        raise UserError(
            f"{quoted(repo)} could not be uploaded to {api.endpoint} ({type(error).__name__});"
            " check the name and the network, or write a folder with --to."
        ) from None
    return str(made)
