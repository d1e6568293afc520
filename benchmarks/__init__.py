"""What is claimed about speed and memory, each claim measured beside what it is compared with.

`make bench`, or `python -m benchmarks [NAMES...]`, prints one table. docs/performance.md says how figures are taken.
"""
