#!/usr/bin/env bash
# What must work right after `npm ci` on a machine without a compiler: the TypeScript reference, with one warning at
# each start, on the command line and over HTTP.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
model=../shared/models/stories260K.gguf

./claw --version

if [ ! -f "$model" ]; then
  echo "skipped: $model is missing"
  exit 0
fi

away=$(mktemp -d)
server=
finish() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
  rm -rf "$away"
}
trap finish EXIT
export XDG_STATE_HOME=$away/state

# Fails unless the file names the package to install once.
expect_one_warning() {
  local warnings
  cat "$1" >&2
  warnings=$(grep -c 'apt-get install g++' "$1" || true)
  if [ "$warnings" -ne 1 ]; then
    echo "A start without a compiler named the package to install $warnings times; expected once." >&2
    exit 1
  fi
}

text=$(./claw run --model "$model" --format f16 --temperature 0 --max-tokens 8 "Once upon a time" 2>"$away/run.log")
expect_one_warning "$away/run.log"
case $text in
  *[a-z]*) echo "answered: $text" ;;
  *) echo "The reference gave no text: $text" >&2; exit 1 ;;
esac

./claw serve --model "$model" --port 0 >"$away/banner" 2>"$away/serve.log" &
server=$!
for _ in $(seq 300); do
  if grep -q '^curl ' "$away/banner"; then break; fi
  if ! kill -0 "$server" 2>/dev/null; then cat "$away/serve.log" >&2; exit 1; fi
  sleep 0.1
done
expect_one_warning "$away/serve.log"
url=$(grep -o 'http://[0-9.:]*' "$away/banner" | head -n 1)
node test/smoke/client.mjs "$url" "$(cat "$away/state/openclaw/api-key")" stories260K
kill -TERM "$server"
wait "$server"
server=
echo "served: $url"
