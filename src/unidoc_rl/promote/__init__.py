"""The stage `promote`: an evaluated policy into the registry, and past its gates."""

PROMOTION = "promotion.json"  # the version, every gate and what it said
