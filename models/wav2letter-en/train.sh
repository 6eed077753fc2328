#!/usr/bin/env bash
# Trains models/wav2letter-en again; run it as:  make train DATA=FOLDER [STEPS=number]
# FOLDER holds librispeech/, speech_commands/ and digits/, each with a manifest.tsv.
# Needs espeak-ng, flite, festival with festvox-us-slt-hts, and wamerican (Debian packages).
set -euo pipefail
cd "$(dirname "$0")/../.."
data=${1:?folder with librispeech, speech_commands and digits}
run=${RUN:-runs/wav2letter-en}
speech=$run/speech

for corpus in librispeech speech_commands digits; do
    [ -f "$data/$corpus/manifest.tsv" ] ||
        { echo "train: $data/$corpus/manifest.tsv is missing" >&2; exit 2; }
done
mkdir -p "$speech"
for corpus in librispeech speech_commands digits; do
    ln -sfn "$(realpath "$data/$corpus")" "$speech/$corpus"
done
.venv/bin/python -m pip install --quiet --editable '.[synthesis]'
synthesize() { # folder, kind, clips, seed
    [ -e "$speech/synthetic/$1/manifest.tsv" ] ||
        .venv/bin/python -m quantkit.synthesis "$speech/synthetic/$1" --kind "$2" --clips "$3" --seed "$4"
}
synthesize short short 12000 1
synthesize sentences sentences 6000 2
synthesize long long 2500 3
.venv/bin/quantkit train models/wav2letter-en/recipe.toml --data "$speech" -o "$run" --resume ${2:+--steps "$2"}
.venv/bin/python -m quantkit.training.publish "$run/best" models/wav2letter-en --licence CC-BY-SA-4.0
