#!/usr/bin/env bash
# Checks and measures the runtime on a machine with an NVIDIA GPU and prints one table. Never part of CI.
#
#   tests/gpu/run.sh [--wheels FOLDER] [--only graphs,table] [--seconds 1] [--json FILE]
#   tests/gpu/run.sh --dry [--only graphs,table] [--seconds 1] [--json FILE]
#   tests/gpu/run.sh --bring FOLDER [--python 3.12] [--piece 48] [--lean]
#
# It needs that machine and Python 3.11 or newer. What is not installed there it installs into a folder of its own (.gpu/): the locked
# wheels of the runtime's image for GPUs, 1.6 GB, and onnx. A machine that reaches no registry gets them in a folder:
#   --dry            on a machine without a GPU: every check and every figure on the processor, with small models and nothing installed.
#                    It proves this script, and nothing of a GPU
#   --bring FOLDER   on a machine with registries: downloads them, for a Python, in pieces of at most so many MiB. NVIDIA's own are left
#                    out with --lean, for a machine whose Python has CUDA 13 and cuDNN 9 already (PyTorch brings them)
#   --wheels FOLDER  on the machine with the GPU: takes them from there. Pieces may come one by one: it says which are missing
# It ends with 0 when everything holds, 1 when something does not, 2 where it cannot begin.
set -euo pipefail
case " $* " in *" --help "* | *" -h "*) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;; esac
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-python3}
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "tests/gpu/run.sh needs Python 3.11 or newer: PYTHON=python3.12 $0" >&2; exit 2; }
export PYTHONPATH="$PWD/runtime/src:$PWD/tests${PYTHONPATH:+:$PYTHONPATH}" ORT_DISABLE_TELEMETRY=1
found=$("$PYTHON" -m gpu.wheels "$@") || exit $?
[ "$found" != done ] || exit 0
export PYTHONPATH="$found${found:+:}$PYTHONPATH"
exec "$PYTHON" -m gpu.check "$@"
