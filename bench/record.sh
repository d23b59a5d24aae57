#!/bin/sh
# Measures everything that results.md records, on a machine that does nothing else: about half an hour. Needs the peer
# (npm ci --prefix tools/peer) and, for perplexity, a real model and a text: MODEL=FILE TEXT=FILE bench/record.sh
set -eu
cd "$(dirname "$0")/.."

bench() {
  echo "claw bench $*" >&2
  ./claw bench "$@" --record
}

for format in i8 i4; do
  bench decode --preset llama-1b --format "$format" --peer llama.cpp
  bench prefill --preset llama-1b --format "$format" --peer llama.cpp
  bench batch --preset llama-1b --format "$format" --batch 16 --peer llama.cpp
  bench attention --preset llama-1b --format "$format" --peer llama.cpp
  bench kernels --preset llama-1b --format "$format"
  bench decode --preset llama-135m --format "$format" --peer llama.cpp
  bench divergence --preset llama-1b --format "$format" --peer llama.cpp
  if [ -n "${MODEL:-}" ] && [ -n "${TEXT:-}" ]; then
    bench perplexity --model "$MODEL" --text "$TEXT" --bytes 100000 --format "$format" --mixture usual --peer llama.cpp
  fi
done
bench serve --preset llama-1b --concurrency 16 --requests 128 --peer llama.cpp
bench serve --preset llama-1b --scenario backlog
