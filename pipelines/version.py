"""What a version of the pipeline is called: after the code and the parameters that it consists of."""

from __future__ import annotations

import subprocess
from pathlib import Path

from unidoc_rl import provenance
from unidoc_rl.errors import UnidocError
from unidoc_rl.params import Params

CHECKOUT = Path(__file__).parents[1]
# The code of the images and pipelines, for which `make images` asks too; all else of a checkout may be as it likes.
CODE = ("src", "components", "pipelines", "images", "pyproject.toml", "constraints.txt", ".dockerignore")
MADE = ":!pipelines/*.yaml"  # of that code and the parameters, by `unidoc pipeline compile`


def version(params: Params) -> str:
    """The git commit, and the hash of what is said of the parameters. Code that is not committed is refused."""
    changed = _git("status", "--porcelain", "--", *CODE, MADE)
    if changed:
        first = changed.splitlines()[0].split(maxsplit=1)[1]
        raise UnidocError(f"{CHECKOUT}: {first} is not committed, so no version could be named after it: commit first")
    return f"{commit()}-{provenance.key(params.said())[:12]}"


def commit() -> str:
    """By which the images are tagged too."""
    return _git("rev-parse", "--short=12", "HEAD")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise UnidocError("git is not found, and a version is named after its commit: install it") from error
    except subprocess.CalledProcessError as error:
        raise UnidocError(
            f"{CHECKOUT}: git {arguments[0]} failed ({error.stderr.strip()}): see to the checkout"
        ) from error
    return done.stdout.strip()
