"""What every component shares: the image that it runs in."""

import functools
import importlib.metadata

from kfp import dsl


def image(kind: str, tag: str | None = None, registry: str | None = None) -> str:
    """`kind`: cpu, gpu or vllm, a folder of images/. `tag`: the git commit, or the package's version where not said."""
    name = f"unidoc-rl-{kind}:{tag or importlib.metadata.version('unidoc-rl')}"
    return f"{registry}/{name}" if registry else name


# The image holds this package and kfp: nothing is installed when a task starts.
component = functools.partial(dsl.component, base_image=image("cpu"), install_kfp_package=False)
