"""The stage `index`, and the searches in what it makes."""
