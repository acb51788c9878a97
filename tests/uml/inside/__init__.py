"""Tests that run in the guest; how to write one is said in the package above."""
