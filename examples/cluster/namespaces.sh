#!/usr/bin/env bash
# Three nodes on one machine: each in a network namespace of its own, 1 Gbit/s and 1 ms from the others, and in a cgroup that
# has less memory than the model takes. Shows that one of them alone cannot run the model, then serves it over the three, and
# compares what that takes with what was planned. The network is netem's, or wire.cc's where the kernel has none. Needs root;
# `--loopback` needs none, and has neither the network nor the limits.
set -euo pipefail

usage() {
  cat <<'EOF'
Usage: examples/cluster/namespaces.sh [options]
  --preset NAME     shape of the model, which is made up: llama-tiny, llama-135m, llama-1b (default), llama-3b, llama-8b, llama-70b
  --shared-layers   one layer's weights in the file, and all layers made of them: a large shape on a small disk
  --limit BYTES     memory of each node's cgroup (default: two nodes would be too few)
  --rate MBIT       of the network, each way, in Mbit/s (default: 1000)
  --delay MICROS    of a message, one way, in microseconds (default: 1000)
  --tokens N        that are generated (default: 64)
  --pipeline N      stages (default: the planner's choice; 3 where this machine has no core for each node, which then work by turns)
  --folder PATH     where the model is kept (default: a temporary folder)
  --loopback        no namespaces and no limits: addresses 127.0.0.2 to 127.0.0.4
EOF
}

preset=llama-1b shared=() limit= rate=1000 delay=1000 tokens=64 pipeline= folder= loopback=no
while [ $# -gt 0 ]; do
  case $1 in
    --preset) preset=$2; shift ;;
    --shared-layers) shared=(--shared-layers) ;;
    --limit) limit=$2; shift ;;
    --rate) rate=$2; shift ;;
    --delay) delay=$2; shift ;;
    --tokens) tokens=$2; shift ;;
    --pipeline) pipeline=$2; shift ;;
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
name=$preset${shared:+-shared}
model=$folder/$name.gguf
tag=claw$$
pids=() members=() finished=no

say() { printf '\n== %s\n' "$*"; }

# Addresses: the server and NATS at .1, the nodes at .2, .3 and .4.
prefix() { if [ "$loopback" = yes ]; then echo 127.0.0; else echo 10.77.0; fi; }
address() { echo "$(prefix).$1"; }

# Becomes something in the namespace of number $1; in a subshell, so that what is killed is this and not its shell.
inside() {
  local number=$1
  shift
  if [ "$loopback" = yes ]; then exec "$@"; else exec ip netns exec "$tag-$number" "$@"; fi
}

has_netem() {
  tc -n "$tag-1" qdisc add dev lo root netem delay 1ms 2>/dev/null && tc -n "$tag-1" qdisc del dev lo root
}

# A bridge that forwards at once, and netem on every namespace's way out, so that each direction is late once.
netem_network() {
  ip link add "$tag" type bridge
  ip link set "$tag" up
  local number
  for number in 1 2 3 4; do
    ip link add "$tag-$number" type veth peer name eth0 netns "$tag-$number"
    ip link set "$tag-$number" master "$tag" up
    ip netns exec "$tag-$number" tc qdisc add dev eth0 root netem rate "${rate}mbit" delay "${delay}us" limit 100000
  done
}

# The same by a program that has one end of every device.
wire_network() {
  g++ -O2 -std=c++17 -o "$work/wire" "$root/examples/cluster/wire.cc"
  "$work/wire" "${rate}e6" "$delay" "$tag"-{1,2,3,4} >"$work/wire.log" 2>&1 &
  pids+=($!)
  wait_for ready "$work/wire.log"
  local number
  for number in 1 2 3 4; do ip link set "$tag-$number" netns "$tag-$number" name eth0; done
}

make_network() {
  if [ "$loopback" = yes ]; then return; fi
  local number network=wire
  for number in 1 2 3 4; do ip netns add "$tag-$number"; done
  if has_netem; then network=netem; fi
  say "A network by $network: $rate Mbit/s each way, $delay us one way between any two"
  "${network}_network"
  for number in 1 2 3 4; do
    ip -n "$tag-$number" addr add "$(address "$number")/24" dev eth0
    ip -n "$tag-$number" link set eth0 up
    ip -n "$tag-$number" link set lo up
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

# What this script runs itself, and what runs in its namespaces.
own_pids() {
  local number
  printf '%s\n' "${pids[@]}"
  ps -o pid= --ppid "$$"
  if [ "$loopback" = no ]; then
    for number in 1 2 3 4; do ip netns pids "$tag-$number" 2>/dev/null || true; done
  fi
}

# Also where it was interrupted, and not to be interrupted again.
clean_up() {
  local status=$? pid group number
  trap - EXIT
  trap '' INT TERM HUP
  if [ "$finished" = no ] && [ "$status" -eq 0 ]; then status=1; fi
  for pid in $(own_pids); do kill "$pid" 2>/dev/null || true; done
  sleep 1
  for pid in $(own_pids); do kill -9 "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  # Ranks that hear no more of anybody, as the network is gone.
  for group in /sys/fs/cgroup/{,memory/}"$tag"-*; do
    while read -r pid; do kill -9 "$pid" || true; done 2>/dev/null <"$group/cgroup.procs" || true
    for _ in $(seq 50); do rmdir "$group" 2>/dev/null && break || [ ! -e "$group" ] && break || sleep 0.1; done
  done
  if [ "$loopback" = no ]; then
    for number in 1 2 3 4; do
      ip netns del "$tag-$number" 2>/dev/null || true
      ip link del "$tag-$number" 2>/dev/null || true
    done
    ip link del "$tag" 2>/dev/null || true
  fi
  # Ranks that have lost their server end by themselves, and may still write.
  for _ in $(seq 20); do rm -rf "$work" 2>/dev/null && break || sleep 0.5; done
  exit "$status"
}
trap clean_up EXIT

# That the last process which was started says $1 in its log $2.
wait_for() {
  local what=$1 file=$2
  for _ in $(seq 600); do
    if grep -q "$what" "$file" 2>/dev/null; then return; fi
    kill -0 "${pids[-1]}" 2>/dev/null || break
    sleep 0.5
  done
  echo "Waited in vain for \"$what\":" >&2
  cat "$file" >&2
  return 1
}

make_model() {
  if [ ! -e "$model" ]; then
    "$claw" model synth --preset "$preset" "${shared[@]}" --type q8_0 --seed 1 --out "$model"
  fi
  local bytes
  bytes=$(stat -c %s "$model")
  # Beside weights and KV cache there are the processes themselves and their buffers.
  local processes=$((320 * 1024 * 1024))
  # Of the smallest shapes keys and values take more than weights.
  local least=$((1024 * 1024))
  if [ "${#shared[@]}" -gt 0 ]; then
    # Planned as if every layer had bytes of its own; what they have in common, a node has once.
    limit=${limit:-$((bytes * 2 + processes))}
    memory=32000000000
  else
    limit=${limit:-$((bytes * 42 / 100 + least + processes))}
    memory=$((limit - processes))
  fi
  if [ "$memory" -le 0 ]; then echo "A limit of $limit bytes leaves no room for weights." >&2; exit 1; fi
  say "The model's file has $bytes bytes; each node's memory $limit, and plans give it $memory for weights and KV cache"
}

show_failure() {
  say "One node alone, within its limit"
  local status=0
  { (limited alone env XDG_CACHE_HOME="$work/cache-alone" "$claw" run --model "$model" --format i8 --context 512 \
    --max-tokens 4 "Once upon a time") >"$work/alone.log" 2>&1 || status=$?; } 2>/dev/null
  tail -n 3 "$work/alone.log"
  echo "It ended with status $status (137: killed for its memory)."
  if [ "$status" -eq 0 ]; then echo "One node holds this model; choose a smaller --limit." >&2; exit 1; fi
}

start_nodes() {
  say "NATS, and three nodes that join"
  (inside 1 nats-server -a "$(address 1)" -p 4222 -js -sd "$work/nats") >"$work/nats.log" 2>&1 &
  pids+=($!)
  wait_for "Server is ready" "$work/nats.log"
  "$claw" cluster keygen "$work/secret"
  control=(--control "nats://$(address 1):4222" --secret-file "$work/secret")
  local number node
  # One after the other: they share this machine's cores, and later work by turns, too. Matrices as large as a 70B's tell no
  # more than those of an 8B, and take minutes.
  for number in 2 3 4; do
    node=${nodes[number - 2]}
    (inside "$number" env XDG_CACHE_HOME="$work/cache-measure" "$claw" node measure \
      --preset "${preset/70b/8b}" --format i8 --rounds 3 --threads 1 --json) >"$work/$node.json"
  done
  for number in 2 3 4; do
    node=${nodes[number - 2]}
    (limited "$node" env XDG_CACHE_HOME="$work/cache-$node" \
      "${enter[@]/NUMBER/$number}" "$claw" node join "${control[@]}" --name "$node" \
      --listen "$(address "$number"):7400" --memory "$memory" --measurements "$work/$node.json" \
      --threads 1 --model "$model") >"$work/$node.log" 2>&1 &
    pids+=($!)
    members+=("$node=$!")
  done
  for number in 2 3 4; do wait_for "takes links at" "$work/${nodes[number - 2]}.log"; done
  say "Links are measured"
  local tries
  for tries in $(seq 60); do
    (inside 1 "$claw" cluster status "${control[@]}" --json) >"$work/status.json"
    if [ "$(grep -o '"latencySeconds"' "$work/status.json" | wc -l)" -eq 3 ]; then return; fi
    sleep 1
  done
  echo "The nodes did not measure their links." >&2
  return 1
}

start_server() {
  say "A server"
  local degrees='' flags=()
  if [ -n "$pipeline" ]; then
    degrees="\"pipeline_parallelism_degree\": $pipeline,"
    flags=(--pipeline-parallelism-degree "$pipeline")
  fi
  cat >"$work/serve.json" <<EOF
{
  "model": "$model",
  "host": "$(address 1)",
  "port": 8080,
  "precision": "i8",
  "context": 512,
  "max_batch_size": 1,
  $degrees
  "cluster": {
    "control": "nats://$(address 1):4222",
    "secret_file": "$work/secret",
    "name": "server",
    "host": "$(address 1)",
    "compute": "nodes"
  }
}
EOF
  (inside 1 env XDG_STATE_HOME="$work/state" "$claw" serve --config "$work/serve.json") >"$work/serve.log" 2>&1 &
  pids+=($!)
  wait_for "serves $name" "$work/serve.log"
  (inside 1 "$claw" cluster status "${control[@]}")
  (inside 1 "$claw" cluster status "${control[@]}" --json) >"$work/status.json"
  (inside 1 "$claw" cluster plan "${control[@]}" --model "$model" --format i8 --rows 1 --context 512 \
    "${flags[@]}" --json) >"$work/plan.json"
}

ask() {
  say "A request for $tokens tokens"
  local node=$root/node_modules/node-linux-$(uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')/bin/node
  [ -x "$node" ] || node=node
  find "$work/state" -name 'api-key*' -type f -exec cat {} + >"$work/key"
  (inside 1 "$node" "$root/examples/cluster/report.ts" --url "http://$(address 1):8080" --key "$work/key" --model "$name" \
    --tokens "$tokens" --plan "$work/plan.json" --status "$work/status.json" "${members[@]}")
}

if [ -z "$pipeline" ] && [ "$(nproc)" -lt 4 ]; then pipeline=3; fi
enter=()
if [ "$loopback" = no ]; then
  if [ "$(id -u)" -ne 0 ]; then echo "Namespaces and limits need root; or try --loopback." >&2; exit 1; fi
  enter=(ip netns exec "$tag-NUMBER")
fi
make_network
make_model
if [ "$loopback" = no ] && [ "${#shared[@]}" -eq 0 ]; then show_failure; fi
start_nodes
start_server
ask
finished=yes
say "Done"
