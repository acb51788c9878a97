"""Read, explain and edit the policy files."""
