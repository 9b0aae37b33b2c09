"""The stage `curate`: questions to trajectories that are worth learning from."""

SFT = "sft.jsonl"  # what is imitated
REPORT = "report.json"  # how many came through every filter
