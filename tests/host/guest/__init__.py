"""Programs that tests put into the guest, and that run there by its own Python."""
