#!/usr/bin/env bash
# Trains models/keywords-en again; run it as:  make train MODEL=models/keywords-en DATA=FOLDER [STEPS=number]
# FOLDER holds speech_commands/ with a manifest.tsv.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=${1:?folder with speech_commands}
run=${RUN:-runs/keywords-en}

[ -f "$data/speech_commands/manifest.tsv" ] ||
    { echo "train: $data/speech_commands/manifest.tsv is missing" >&2; exit 2; }
# The layers are too small to share among threads: two are slower than one where others work too.
export OMP_WAIT_POLICY=passive
.venv/bin/quantkit train models/keywords-en/recipe.toml --data "$data" -o "$run" --resume --threads 1 ${2:+--steps "$2"}
.venv/bin/python -m quantkit.training.publish "$run/best" models/keywords-en --licence CC-BY-4.0
