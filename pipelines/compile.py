"""Writes pipelines/<name>.yaml, which Kubeflow reads: `make compile`. Committed, so that a change shows in review.

UNIDOC_IMAGE names another image, for example registry/unidoc-rl-cpu:<commit>.
"""

from pathlib import Path

from kfp import compiler

from pipelines.pipeline import PIPELINES

FOLDER = Path(__file__).parent


def write(folder: Path) -> list[Path]:
    files = [folder / f"{pipeline.name}.yaml" for pipeline in PIPELINES]
    for pipeline, file in zip(PIPELINES, files, strict=True):
        compiler.Compiler().compile(pipeline, str(file))
    return files


if __name__ == "__main__":
    for written in write(FOLDER):
        print(written)
