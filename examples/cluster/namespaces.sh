#!/usr/bin/env bash
# Three nodes on one machine: each in a network namespace of its own, on a bridge, 1 Gbit/s and 1 ms from the others, and in a
# cgroup that has less memory than the model takes. Shows that one of them alone cannot run the model, then serves it over the
# three. Needs root; `--loopback` needs none, and has neither the network nor the limits.
set -euo pipefail

usage() {
  cat <<'EOF'
Usage: examples/cluster/namespaces.sh [options]
  --preset NAME     shape of the model, which is made up: llama-1b (default), llama-3b, llama-8b
  --limit BYTES     memory of each node's cgroup (default: two thirds of the model)
  --rate RATE       of the network (default: 1gbit)
  --delay TIME      of a message, one way (default: 1ms)
  --tokens N        that are generated (default: 64)
  --folder PATH     where the model is kept (default: a temporary folder)
  --loopback        no namespaces and no limits: addresses 127.0.0.2 to 127.0.0.4
EOF
}

preset=llama-1b limit= rate=1gbit delay=1ms tokens=64 folder= loopback=no
while [ $# -gt 0 ]; do
  case $1 in
    --preset) preset=$2; shift ;;
    --limit) limit=$2; shift ;;
    --rate) rate=$2; shift ;;
    --delay) delay=$2; shift ;;
    --tokens) tokens=$2; shift ;;
    --folder) folder=$2; shift ;;
    --loopback) loopback=yes ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
claw=$root/claw
nodes=(alder birch cedar)
work=$(mktemp -d)
folder=${folder:-$work}
model=$folder/$preset.gguf
tag=claw$$
pids=()

say() { printf '\n== %s\n' "$*"; }

# Addresses: the server and NATS at .1, the nodes at .2, .3 and .4.
prefix() { if [ "$loopback" = yes ]; then echo 127.0.0; else echo 10.77.0; fi; }
address() { echo "$(prefix).$1"; }

# Runs something in the namespace of number $1.
inside() {
  local number=$1
  shift
  if [ "$loopback" = yes ]; then "$@"; else ip netns exec "$tag-$number" "$@"; fi
}

make_network() {
  if [ "$loopback" = yes ]; then return; fi
  ip link add "$tag" type bridge
  ip link set "$tag" up
  local number
  for number in 1 2 3 4; do
    ip netns add "$tag-$number"
    ip link add "$tag-$number" type veth peer name eth0 netns "$tag-$number"
    ip link set "$tag-$number" master "$tag" up
    ip -n "$tag-$number" addr add "$(address "$number")/24" dev eth0
    ip -n "$tag-$number" link set eth0 up
    ip -n "$tag-$number" link set lo up
    # On its way out, so that each direction is late once.
    ip netns exec "$tag-$number" tc qdisc add dev eth0 root netem rate "$rate" delay "$delay" limit 100000
  done
}

# Makes a group with a limit of memory, and runs something in it: cgroup v2 where it has the memory controller, else v1.
limited() {
  local group=$tag-$1
  shift
  if [ "$loopback" = yes ]; then exec "$@"; fi
  local base=/sys/fs/cgroup/memory file=memory.limit_in_bytes
  if grep -qw memory /sys/fs/cgroup/cgroup.controllers 2>/dev/null; then
    base=/sys/fs/cgroup file=memory.max
    echo +memory >/sys/fs/cgroup/cgroup.subtree_control
  fi
  mkdir -p "$base/$group"
  echo "$limit" >"$base/$group/$file"
  if [ -e "$base/$group/memory.swap.max" ]; then echo 0 >"$base/$group/memory.swap.max"; fi
  echo "$BASHPID" >"$base/$group/cgroup.procs"
  exec "$@"
}

clean_up() {
  local status=$? pid group number
  trap - EXIT
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  sleep 1
  for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  for group in /sys/fs/cgroup/{,memory/}"$tag"-*; do rmdir "$group" 2>/dev/null || true; done
  if [ "$loopback" = no ]; then
    for number in 1 2 3 4; do ip netns del "$tag-$number" 2>/dev/null || true; done
    ip link del "$tag" 2>/dev/null || true
  fi
  rm -rf "$work"
  exit "$status"
}
trap clean_up EXIT

wait_for() {
  local what=$1 file=$2 tries
  for tries in $(seq 600); do
    if grep -q "$what" "$file" 2>/dev/null; then return; fi
    sleep 0.5
  done
  echo "Waited in vain for \"$what\":" >&2
  cat "$file" >&2
  return 1
}

make_model() {
  if [ ! -e "$model" ]; then "$claw" model synth --preset "$preset" --type q8_0 --seed 1 --out "$model"; fi
  local bytes
  bytes=$(stat -c %s "$model")
  limit=${limit:-$((bytes * 2 / 3))}
  # The rest is for the processes themselves and their buffers.
  memory=$((limit - 320 * 1024 * 1024))
  if [ "$memory" -le 0 ]; then echo "A limit of $limit bytes leaves no room for weights." >&2; exit 1; fi
  say "The model $preset has $bytes bytes; each node may use $limit, $memory of them for weights and KV cache"
}

show_failure() {
  say "One node alone, within its limit"
  local status=0
  (limited alone "$claw" run --model "$model" --format i8 --context 512 --max-tokens 4 "Once upon a time") \
    >"$work/alone.log" 2>&1 || status=$?
  tail -n 3 "$work/alone.log"
  echo "It ended with status $status (137: killed for its memory)."
  if [ "$status" -eq 0 ]; then echo "One node holds this model; choose a smaller --limit." >&2; exit 1; fi
}

start_nodes() {
  say "NATS, and three nodes that join"
  inside 1 nats-server -a "$(address 1)" -p 4222 -js -sd "$work/nats" >"$work/nats.log" 2>&1 &
  pids+=($!)
  wait_for "Server is ready" "$work/nats.log"
  "$claw" cluster keygen "$work/secret"
  control=(--control "nats://$(address 1):4222" --secret-file "$work/secret")
  "$claw" node measure --preset "$preset" --format i8 --rounds 1 --threads 1 --json >"$work/measured.json"
  local number
  for number in 2 3 4; do
    local name=${nodes[number - 2]}
    (limited "$name" env XDG_CACHE_HOME="$work/cache-$name" \
      "${enter[@]/NUMBER/$number}" "$claw" node join "${control[@]}" --name "$name" \
      --listen "$(address "$number"):7400" --memory "$memory" --measurements "$work/measured.json" \
      --threads 1 --model "$model") >"$work/$name.log" 2>&1 &
    pids+=($!)
  done
  for number in 2 3 4; do wait_for "takes links at" "$work/${nodes[number - 2]}.log"; done
}

start_server() {
  say "A server"
  cat >"$work/serve.json" <<EOF
{
  "model": "$model",
  "host": "$(address 1)",
  "port": 8080,
  "precision": "i8",
  "context": 512,
  "max_batch_size": 2,
  "cluster": {
    "control": "nats://$(address 1):4222",
    "secret_file": "$work/secret",
    "name": "server",
    "host": "$(address 1)",
    "compute": "nodes"
  }
}
EOF
  inside 1 env XDG_STATE_HOME="$work/state" "$claw" serve --config "$work/serve.json" >"$work/serve.log" 2>&1 &
  pids+=($!)
  wait_for "serves $preset" "$work/serve.log"
  inside 1 "$claw" cluster status "${control[@]}"
  inside 1 "$claw" cluster plan "${control[@]}" --model "$model" --format i8 --rows 1 --context 512
}

ask() {
  say "A request for $tokens tokens"
  local key body begin end
  key=$(find "$work/state" -name 'api-key*' -type f -exec cat {} +)
  body="{\"model\": \"$preset\", \"prompt\": \"Once upon a time\", \"max_tokens\": $tokens, \"temperature\": 0}"
  begin=$(date +%s%N)
  inside 1 curl -sS "http://$(address 1):8080/v1/completions" -H "Authorization: Bearer $key" \
    -H "Content-Type: application/json" -d "$body" >"$work/answer.json"
  end=$(date +%s%N)
  head -c 600 "$work/answer.json"
  echo
  awk -v n="$tokens" -v t="$((end - begin))" 'BEGIN { printf "%d tokens in %.2f s, %.2f tokens/s\n", n, t / 1e9, n * 1e9 / t }'
  grep -q '"completion_tokens":'"$tokens" "$work/answer.json"
}

enter=()
if [ "$loopback" = no ]; then
  if [ "$(id -u)" -ne 0 ]; then echo "Namespaces and limits need root; or try --loopback." >&2; exit 1; fi
  enter=(ip netns exec "$tag-NUMBER")
fi
make_network
make_model
if [ "$loopback" = no ]; then show_failure; fi
start_nodes
start_server
ask
say "Done"
