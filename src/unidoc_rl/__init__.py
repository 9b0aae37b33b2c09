"""unidoc-rl: turn your own documents into your own document agent."""
