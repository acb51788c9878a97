"""What is in ``inside`` runs in the guest, by ``test_inside.py``."""

collect_ignore = ["inside"]
