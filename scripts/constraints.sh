#!/usr/bin/env bash
# Rewrites constraints.txt: what pip installs today for README's commands and the extras named below.
#
#     scripts/constraints.sh [PYTHON]     # by default python3.11
#
# Versions that belong to one PyTorch build (CUDA libraries, +cpu) are left out: they follow from torch.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${1:-python3.11}
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet ".[test,ants,tensorboard,docs]"
{
  echo "# Exact versions of everything that README's two commands and the extras ants, tensorboard and docs install."
  "$folder/venv/bin/pip" freeze --exclude registration-bench |
    grep -Ev '^(nvidia-|cuda-|triton==)' | sed 's/+.*//' | sort -f
} >"$folder/constraints.txt"
mv "$folder/constraints.txt" constraints.txt
