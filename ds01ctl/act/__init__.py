"""Effects on the host: one module per kind."""
