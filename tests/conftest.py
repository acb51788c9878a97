"""Fixtures for all tests: an NVML double, a Docker engine of our own, a name service that hangs."""

pytest_plugins = ["tests.nvml.fixtures", "tests.engine_fixtures", "tests.nss_fixtures"]
