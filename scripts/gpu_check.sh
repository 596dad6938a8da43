#!/usr/bin/env bash
# What a GPU is needed for, in one go: the tests marked gpu, the benchmarks, time to Dice, direct
# registration of the hippocampus set, one network for five λ, and networks at the papers' weights,
# for docs/benchmarks.md and docs/results/.
#
#   scripts/gpu_check.sh HIPPOCAMPUS OUT
#
# HIPPOCAMPUS is the data set's folder, named hippocampus; OUT gets tables, figures and runs. PARTS
# (all of tests benchmarks convergence direct conditioned networks) says what, DEVICE=cpu goes as far
# as a processor can, JOBS (4) is the runs at a time, SECONDS_EACH (120) the time of each way in the
# race to Dice, STEPS (30000) and EXTRACTOR_STEPS (15000) are the budgets of the networks, METRICS
# says which. FILTER chooses cases of the benchmarks, OVERRIDES are for all runs.
set -euo pipefail

root=${1:?the folder of the hippocampus set}
out=${2:?a folder for what is measured}
parts=${PARTS:-tests benchmarks convergence direct conditioned networks}
device=${DEVICE:-cuda}
jobs=${JOBS:-4}
steps=${STEPS:-30000}
extractor_steps=${EXTRACTOR_STEPS:-15000}
metrics=${METRICS:-mse,ncc,ncc_sup,deepsim_ae,deepsim_seg,deepsim_csr}
suites=${SUITES:-metrics train breakdown}
repeats=${REPEATS:-5}
seconds=${SECONDS_EACH:-120}
python=${PYTHON:-python}

for part in $parts; do
  case $part in
    tests | benchmarks | convergence | direct | conditioned | networks) ;;
    *) echo "PARTS=$parts: $part is none of tests benchmarks convergence direct conditioned networks." >&2; exit 2 ;;
  esac
done
[ -d "$root" ] || { echo "$root: no such folder. Name that of the hippocampus set." >&2; exit 2; }
root=$(realpath "$root")
mkdir -p "$out"
out=$(realpath "$out")
cd "$(dirname "$0")/.."
common=("dataset.root=$root" "trainer.accelerator=$device" trainer.progress=false
  hydra/launcher=local "hydra.launcher.n_jobs=$jobs" "results_dir=$out/results" ${OVERRIDES:-})

for part in $parts; do
  echo "== $part, $(date +%T)"
  case $part in
    tests) $python -m pytest -q -m gpu tests | tee "$out/tests.txt" ;;
    benchmarks)
      for suite in $suites; do
        $python benchmarks/run.py --suite "$suite" --device "$device" --repeats "$repeats" \
          --filter "${FILTER:-}" --json "$out/$suite.json" | tee "$out/$suite.txt"
      done ;;
    convergence)
      for metric in mse ncc deepsim_seg; do
        BENCH_DATA=$(dirname "$root") $python benchmarks/run.py --suite convergence \
          --device "$device" --filter "$metric hippocampus" --seconds "$seconds" --repeats 1 \
          --results "$out/extractors" --json "$out/convergence_$metric.json" \
          | tee "$out/convergence_$metric.txt"
      done ;;
    direct)
      $python run.py -m +experiment=answer dataset=hippocampus dataset.added_noise=null seed=0 \
        model.batch=20 "${common[@]}" ;;
    conditioned)
      $python run.py -m metric=ncc dataset=hippocampus model.conditioned=lambda \
        regularizer.scale=0.25,0.5,1,2,4 "${common[@]}" ;;
    networks)
      $python run.py -m "metric=$metrics" dataset=hippocampus model=voxelmorph trainer=paper \
        "trainer.steps=$steps" \
        "trainer.validate_every=$((steps < 500 ? steps : 500))" trainer.validation_pairs=16 \
        "dataset.recommended.paper.autoencoder=$extractor_steps" \
        "dataset.recommended.paper.segmenter=$extractor_steps" "${common[@]}" ;;
  esac
done
if [ -d "$out/results" ]; then
  $python -m bench report --results "$out/results" --out "$out/report"
fi
echo "== done, $(date +%T)"
