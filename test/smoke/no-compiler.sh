#!/usr/bin/env bash
# What must work right after `npm ci` on a machine without a compiler: the TypeScript reference, with one warning.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
model=../shared/models/stories260K.gguf

./claw --version

if [ ! -f "$model" ]; then
  echo "skipped: $model is missing"
  exit 0
fi

said=$(mktemp)
trap 'rm -f "$said"' EXIT
text=$(./claw run --model "$model" --format f16 --temperature 0 --max-tokens 8 "Once upon a time" 2>"$said")
cat "$said" >&2
warnings=$(grep -c 'apt-get install g++' "$said" || true)
if [ "$warnings" -ne 1 ]; then
  echo "A start without a compiler named the package to install $warnings times; expected once." >&2
  exit 1
fi
case $text in
  *[a-z]*) echo "answered: $text" ;;
  *) echo "The reference gave no text: $text" >&2; exit 1 ;;
esac
