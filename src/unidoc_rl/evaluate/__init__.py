"""The stage `evaluate`: how well a policy answers, and where it fails."""

EVALUATION = "evaluation.json"  # every number, with its interval, and what each question came to
