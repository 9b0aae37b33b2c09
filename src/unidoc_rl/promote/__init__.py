"""The stage `promote`: an evaluated policy into the registry, and past its gates."""
