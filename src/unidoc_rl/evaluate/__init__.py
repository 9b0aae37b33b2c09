"""The stage `evaluate`: how well a policy answers, and where it fails."""
