#!/usr/bin/env bash
# llama.cpp's way of splitting a model over processes, for comparison with `claw bench shard`: two of its RPC servers of one thread each, on a
# core each, half of the layers on either, and its own benchmark that decodes one sequence over them. It is built on first use, by cmake and
# ninja, from the sources that node-llama-cpp carries; LLAMA_CPP_BUILD names the folder of a build that is there already. Prints one JSON object.
#
#     tools/peer/rpc.sh MODEL.gguf [TOKENS [ROUNDS]]
set -euo pipefail

model=${1:?a model file} tokens=${2:-32} rounds=${3:-5}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$here/node_modules/.cache/peer/rpc
build=${LLAMA_CPP_BUILD:-$cache/build}
programs=(ggml-rpc-server llama-bench)

if [ ! -x "$build/bin/llama-bench" ]; then
  bundle=$here/node_modules/node-llama-cpp/llama/gitRelease.bundle
  [ -e "$bundle" ] || { echo "The peer is not installed: npm ci --prefix tools/peer" >&2; exit 1; }
  mkdir -p "$cache"
  [ -d "$cache/sources" ] || git clone --quiet "$bundle" "$cache/sources" 2>&1 | cat >&2
  cmake -S "$cache/sources" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_RPC=ON -DGGML_NATIVE=ON \
    -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_SERVER=OFF >&2
  ninja -C "$build" "${programs[@]}" >&2
fi

servers=()
trap 'kill "${servers[@]}" 2>/dev/null; wait' EXIT
places=()
for core in 0 1; do
  port=$((50700 + core))
  taskset -c "$core" "$build/bin/ggml-rpc-server" --host 127.0.0.1 --port "$port" --threads 1 >&2 &
  servers+=($!)
  places+=("127.0.0.1:$port")
done
for place in "${places[@]}"; do
  for _ in {1..100}; do
    if (exec 3<>"/dev/tcp/${place/://}") 2>/dev/null; then break; fi
    sleep 0.1
  done
done

"$build/bin/llama-bench" --model "$model" --rpc "$(IFS=,; echo "${places[*]}")" --n-gpu-layers 99 --split-mode layer \
  --threads 1 --n-prompt 0 --n-gen "$tokens" --repetitions "$rounds" --output json |
  node -e '
    const [run] = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
    const { backends, model_type: model, n_gen: tokens, samples_ts: each, avg_ts: tokensPerSecond } = run;
    console.log(JSON.stringify({ peer: "llama.cpp over RPC", backends, model, tokens, tokensPerSecond, each }));
  '
