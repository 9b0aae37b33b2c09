"""Imports all that the package imports anywhere, and what starts a task, so that an image has it compiled.

To compile all that is installed would make the image half a gigabyte larger, by much that no task loads.
"""

import ast
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import unidoc_rl

PATH = Path(unidoc_rl.__file__).parent


def statements() -> Iterator[str]:
    yield "from kfp.dsl import executor_main"
    for module in pkgutil.walk_packages([str(PATH)], "unidoc_rl."):
        yield f"import {module.name}"
    for file in PATH.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield ast.unparse(node)


for statement in statements():
    try:
        exec(statement)
    except ImportError as error:  # for types alone, or not for this image
        print(f"not here: {statement} ({error})")
