#!/usr/bin/env bash
# What a GPU is needed for, in one go: the tests marked gpu, the benchmarks, and the hippocampus
# set at the papers' weights, for docs/benchmarks.md and docs/results.md.
#
#   scripts/gpu_check.sh HIPPOCAMPUS OUT
#
# HIPPOCAMPUS is the data set's folder, OUT gets tables, figures and runs. DEVICE=cpu goes as far as a
# processor can. STEPS (30000) and EXTRACTOR_STEPS (15000) are the budgets; METRICS says which.
set -euo pipefail

root=${1:?the folder of the hippocampus set}
out=${2:?a folder for what is measured}
device=${DEVICE:-cuda}
steps=${STEPS:-30000}
extractor_steps=${EXTRACTOR_STEPS:-15000}
metrics=${METRICS:-mse,ncc,ncc_sup,deepsim_ae,deepsim_seg,deepsim_csr}
repeats=${REPEATS:-5}
python=${PYTHON:-python}

root=$(realpath "$root")
mkdir -p "$out"
out=$(realpath "$out")
cd "$(dirname "$0")/.."

echo "== tests"
$python -m pytest -q -m gpu tests | tee "$out/tests.txt"

for suite in metrics train breakdown; do
  echo "== benchmarks, $suite"
  $python benchmarks/run.py --suite "$suite" --device "$device" --repeats "$repeats" \
    --filter "${FILTER:-}" --json "$out/$suite.json" | tee "$out/$suite.txt"
done

echo "== hippocampus"
$python run.py -m "metric=$metrics" dataset=hippocampus "dataset.root=$root" trainer=paper \
  "trainer.steps=$steps" "trainer.validate_every=$((steps < 500 ? steps : 500))" \
  trainer.validation_pairs=16 "trainer.accelerator=$device" trainer.progress=false \
  "dataset.recommended.paper.autoencoder=$extractor_steps" \
  "dataset.recommended.paper.segmenter=$extractor_steps" ${OVERRIDES:-} "results_dir=$out/results"
$python -m bench report --results "$out/results" --out "$out/report"
