"""Many Endpoints at once: fake nodes (kwok), one stub for all pods, an operator as a process, and what it is asked.

Used by `make bench-operator` (tests/bench/scale.py).
"""
