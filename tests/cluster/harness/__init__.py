"""A real Kubernetes cluster for the tests, on a machine with a Docker daemon (`kind`) or on a Debian as root (`bare`).

`cli` (the script `tests/cluster/cluster`) and the fixtures of `tests/cluster/conftest.py` call `machine.backend()` and
then its few verbs: up, down, load, run, kubeconfig. Standard library only: it works before anything is installed.
"""
