"""Kubeflow components: one folder a stage, under the stage's name, each a few lines that call the library."""
