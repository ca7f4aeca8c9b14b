#!/usr/bin/env bash
# Checks and measures the runtime on a machine with an NVIDIA GPU, prints one table, and needs nothing but that machine:
# Python 3.11 or newer with onnxruntime-gpu, onnx, numpy and the runtime's other packages. Never part of CI.
#   tests/gpu/run.sh [--seconds 1] [--json FILE]
set -euo pipefail
cd "$(dirname "$0")/../.."
export PYTHONPATH="$PWD/runtime/src:$PWD/tests${PYTHONPATH:+:$PYTHONPATH}" ORT_DISABLE_TELEMETRY=1
exec "${PYTHON:-python3}" -m gpu.check "$@"
