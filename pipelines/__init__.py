"""Kubeflow pipelines: the stages of dvc.yaml, in the same order and under the same names."""
