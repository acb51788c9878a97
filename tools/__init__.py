"""What makes the generated files; not part of the package."""
