"""Measurements: fastnet beside other libraries, its parts under pytest-benchmark, and a guard against regressions."""
