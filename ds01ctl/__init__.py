"""The admin's toolkit for a shared GPU server: detect, enforce, quota, cleanup, carbon."""

__version__ = "0.1.0"
