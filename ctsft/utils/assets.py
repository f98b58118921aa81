"""Where the files are that come with the program: bundled models, corpus, recorded runs."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def assets_folder(package: Path = PACKAGE) -> Path:
    """The folder of the bundled files: inside the package where it is installed from a wheel,
    beside it in a checkout.
    """
    installed = package / "assets"
    return installed if installed.is_dir() else package.parent / "assets"


ASSETS = assets_folder()
