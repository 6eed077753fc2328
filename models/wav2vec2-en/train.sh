#!/usr/bin/env bash
# Trains models/wav2vec2-en again; run it as:  make train MODEL=models/wav2vec2-en DATA=FOLDER [STEPS=number]
# FOLDER holds digits/ and speech_commands/, each with a manifest.tsv.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=${1:?folder with digits and speech_commands}
run=${RUN:-runs/wav2vec2-en}

for corpus in digits speech_commands; do
    [ -f "$data/$corpus/manifest.tsv" ] ||
        { echo "train: $data/$corpus/manifest.tsv is missing" >&2; exit 2; }
done
export OMP_WAIT_POLICY=passive
train() { # recipe, folder of the run, further options
    .venv/bin/quantkit train "models/wav2vec2-en/$1.toml" --data "$data" -o "$2" --resume "${@:3}"
}
train recipe "$run" ${2:+--steps "$2"}
train continue "$run/continued" --start-from "$run/best" ${2:+--steps "$2"}
.venv/bin/python -m quantkit.training.publish "$run/continued/best" models/wav2vec2-en --licence CC-BY-SA-4.0
