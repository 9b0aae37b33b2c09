"""The agent: its actions, its environment, what it earns, and what plays it."""
