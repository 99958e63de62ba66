"""``python -m bench.peers``: fastnet and other libraries on the same work, side by side in one run.

What each library runs is in src/fastnet/_bench, which the installed package's ``fastnet bench`` shares. Here are the
environments, the measured limits of the machine, and the report.
"""
