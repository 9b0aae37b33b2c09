"""What every component shares: the image that it runs in."""

import functools
import importlib.metadata
import os

from kfp import dsl

IMAGE = os.environ.get("UNIDOC_IMAGE") or f"unidoc-rl-cpu:{importlib.metadata.version('unidoc-rl')}"

# The image holds this package and kfp: nothing is installed when a task starts.
component = functools.partial(dsl.component, base_image=IMAGE, install_kfp_package=False)
