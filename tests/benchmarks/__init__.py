"""Measurements beside the peers, for `make bench`; not part of the tests."""
