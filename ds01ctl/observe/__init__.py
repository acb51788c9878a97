"""Read the host: one module per source, each returning values of core.model."""
