#!/bin/bash
# Fuzzes each target for a while and prints how many inputs were executed.
#   fuzz/run.sh [SECONDS [TARGET...]]     default: 60 seconds, all targets, side by side
# Programs and the corpus that grows are kept in the cache, seeds are in fuzz/seeds. A failing
# input is kept, and the command that runs it again is printed; the exit code is then 1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
SECONDS_EACH=${1:-60}
shift || true
TARGETS=("$@")
if [ ${#TARGETS[@]} -eq 0 ]; then
  for file in targets/*.rs; do TARGETS+=("$(basename "$file" .rs)"); done
fi
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/replicated-memcached/fuzz
HOST=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR=$CACHE/target

# Coverage for libFuzzer. --target keeps these flags from build scripts and their like. There is no
# unsafe code to watch, so no sanitizer halves the speed.
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Clink-dead-code" \
  cargo build --quiet --release --locked --target "$HOST" "${TARGETS[@]/#/--bin=}"

mkdir -p "$CACHE/log" "$CACHE/failures"
PROGRAMS=$CARGO_TARGET_DIR/$HOST/release
declare -A RUNNING
for target in "${TARGETS[@]}"; do
  mkdir -p "$CACHE/corpus/$target"
  dictionary=()
  [ ! -f "$target.dict" ] || dictionary=("-dict=$target.dict")
  "$PROGRAMS/$target" -max_total_time="$SECONDS_EACH" -max_len=3000 -timeout=10 \
    -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$CACHE/failures/$target-" \
    "${dictionary[@]}" "$CACHE/corpus/$target" "seeds/$target" >"$CACHE/log/$target" 2>&1 &
  RUNNING[$target]=$!
done

failed=0
for target in "${TARGETS[@]}"; do
  if wait "${RUNNING[$target]}"; then
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$CACHE/log/$target")
    echo "fuzz $target: $executions executions in $SECONDS_EACH s"
  else
    failed=1
    tail -n 30 "$CACHE/log/$target"
    kept=$(sed -n 's/.*Test unit written to //p' "$CACHE/log/$target" | tail -n 1)
    echo "fuzz $target: FAILED; again with: $PROGRAMS/$target ${kept:-(see $CACHE/log/$target)}"
  fi
done
exit $failed
