"""Tell: one small module per sink."""
