#!/usr/bin/env bash
# Makes words.arpa, a language model over words, again:  language_model.sh LIBRISPEECH [WORK]
# LIBRISPEECH is the folder of its manifest.tsv; WORK receives the texts.
# Needs irstlm, bible-kjv, bible-kjv-text and r-cran-janeaustenr (Debian packages), and npm.
# All books are in the public domain: the King James Bible, the novels of Jane Austen, Moby-Dick,
# and the addresses of American presidents to Congress.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
speech=$(realpath "${1:?folder of LibriSpeech}")
work=$(realpath -m "${2:-$here/../../build/language-model}")
python=$here/../../.venv/bin/python
export IRSTLM=/usr/lib/irstlm PATH=$PATH:/usr/lib/irstlm/bin
mkdir -p "$work"
cd "$work"

bible -f gen1:1-rev22:21 | sed -E 's/^\S+ //' > bible.txt
Rscript -e 'library(janeaustenr); writeLines(austen_books()$text, "austen.txt")'
for package in datasets-moby-dick datasets-sotu; do
    npm pack --silent "@stdlib/$package" > /dev/null
    tar xzf stdlib-$package-*.tgz
    cat package/data/*.txt > "$package.txt"
    rm -r package
done
(cd "$here/../.." && "$python" -m benchmarks.english_texts "$work"/*.txt \
    --librispeech "$speech" -o "$work/sentences")
build-lm.sh -i "cat sentences" -o words.gz -n 3 -s improved-shift-beta -t parts -k 1 -f 0,0,2
compile-lm words.gz --text=yes whole.arpa
prune-lm --threshold=1e-6,1e-6 whole.arpa "$here/words.arpa"
ls -l "$here/words.arpa"
