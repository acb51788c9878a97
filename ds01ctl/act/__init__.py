"""Change the host: one module per kind of effect."""
