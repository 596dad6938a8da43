#!/usr/bin/env bash
# What a GPU is needed for, in one go: the tests marked gpu, the benchmarks, time to Dice, direct
# registration of the hippocampus set, one network for five λ beside five networks, the study of
# networks, and networks at the papers' weights, for docs/benchmarks.md and docs/results/.
#
#   scripts/gpu_check.sh DATA OUT
#
# DATA holds the data sets' folders: hippocampus, and where they are there brain_slab and em_vnc. OUT
# gets tables, figures and runs. PARTS (all of tests benchmarks convergence direct conditioned answer
# networks) says what, DEVICE=cpu goes as far as a processor can, JOBS (4) is the runs at a time and
# SETS the data sets. SECONDS_EACH (120) is the time of each way in the race to Dice, RACES its
# metrics, RACE_OVERRIDES what our way sets. STEPS_EACH (2000) are those of each network of
# `conditioned` and `answer`; STEPS (30000) and EXTRACTOR_STEPS (15000) those of `networks`, whose
# metrics METRICS says. FILTER chooses cases of the benchmarks, OVERRIDES are for all runs.
set -euo pipefail

data=${1:?the folder that holds hippocampus}
out=${2:?a folder for what is measured}
all="tests benchmarks convergence direct conditioned answer networks"
parts=${PARTS:-$all}
device=${DEVICE:-cuda}
jobs=${JOBS:-4}
steps=${STEPS:-30000}
steps_each=${STEPS_EACH:-2000}
extractor_steps=${EXTRACTOR_STEPS:-15000}
metrics=${METRICS:-mse,ncc,ncc_sup,deepsim_ae,deepsim_seg,deepsim_csr}
suites=${SUITES:-metrics train breakdown}
races=${RACES:-mse ncc deepsim_seg}
repeats=${REPEATS:-5}
seconds=${SECONDS_EACH:-120}
python=${PYTHON:-python}

refuse() { echo "$1" >&2; exit 2; }
[ -n "${parts// /}" ] || refuse "PARTS is empty. Name some of $all."
for part in $parts; do
  [[ " $all " == *" $part "* ]] || refuse "PARTS=$parts: $part is none of $all."
done
for number in STEPS STEPS_EACH EXTRACTOR_STEPS REPEATS SECONDS_EACH JOBS; do
  [[ ${!number:-1} =~ ^[1-9][0-9]*$ ]] \
    || refuse "$number=${!number}: must be a whole number of at least 1."
done
[ -d "$data/hippocampus" ] || refuse "$data: has no folder hippocampus. Name the one that holds it."
data=$(realpath "$data")
known="hippocampus brain_slab em_vnc"
for set in ${SETS:-}; do
  [[ " $known " == *" $set "* ]] || refuse "SETS=$SETS: $set is none of $known."
  [ -d "$data/$set" ] || refuse "SETS=$SETS: $data has no folder $set."
done
mkdir -p "$out"
out=$(realpath "$out")
cd "$(dirname "$0")/.."
common=("trainer.accelerator=$device" trainer.progress=false tracker=none
  hydra/launcher=local "hydra.launcher.n_jobs=$jobs" "results_dir=$out/results" ${OVERRIDES:-})
hippocampus=(dataset=hippocampus "dataset.root=$data/hippocampus")

# The overrides that select a data set, in the array `selected`.
select_set() {
  case $1 in
    hippocampus) selected=("${hippocampus[@]}") ;;
    brain_slab) selected=(dataset=brain dataset.name=brain_slab "dataset.root=$data/brain_slab") ;;
    em_vnc) selected=(dataset=em_vnc "dataset.root=$data/em_vnc" 'dataset.shape=[512,512]') ;;
  esac
}

# Those of the given sets that are there, unless SETS says which.
sets_of() {
  if [ -n "${SETS:-}" ]; then echo "$SETS"; return; fi
  for set in "$@"; do if [ -d "$data/$set" ]; then echo "$set"; fi; done
}

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
      for metric in $races; do
        BENCH_DATA=$data $python benchmarks/run.py --suite convergence \
          --device "$device" --filter "$metric hippocampus" --seconds "$seconds" --repeats 1 \
          --way "trainer=short${RACE_OVERRIDES:+ $RACE_OVERRIDES}" --way published \
          --results "$out/extractors" --json "$out/convergence_$metric.json" \
          | tee "$out/convergence_$metric.txt"
      done ;;
    direct)
      $python run.py -m +experiment=answer dataset.added_noise=null seed=0 \
        model.batch=20 "${hippocampus[@]}" "${common[@]}" ;;
    conditioned)
      for set in $(sets_of hippocampus em_vnc); do
        select_set "$set"
        for of in null lambda; do
          $python run.py -m metric=ncc "model.conditioned=$of" regularizer.scale=1,0.25,0.5,2,4 \
            "trainer.steps=$steps_each" "${selected[@]}" "${common[@]}"
        done
      done ;;
    answer)
      for set in $(sets_of hippocampus brain_slab); do
        select_set "$set"
        for scales in 1 0.25,0.5,1,2,4; do   # the networks first, then the λ that share them
          $python run.py -m +experiment=answer_networks "regularizer.scale=$scales" \
            "trainer.steps=$steps_each" "${selected[@]}" "${common[@]}"
        done
      done ;;
    networks)
      $python run.py -m "metric=$metrics" model=voxelmorph trainer=paper \
        "trainer.steps=$steps" \
        "trainer.validate_every=$((steps < 500 ? steps : 500))" trainer.validation_pairs=16 \
        "dataset.recommended.paper.autoencoder=$extractor_steps" \
        "dataset.recommended.paper.segmenter=$extractor_steps" \
        "${hippocampus[@]}" "${common[@]}" ;;
  esac
done
if [ -d "$out/results" ]; then
  $python -m bench report --results "$out/results" --out "$out/report"
fi
echo "== done, $(date +%T)"
