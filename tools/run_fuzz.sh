#!/bin/sh
# Fuzzes each target for some seconds, starting from its committed corpus; new inputs stay in the build folder.
#
#   tools/run_fuzz.sh DIR SECONDS      DIR/fuzz_* as `make fuzz-programs` left them
set -eu

dir=${1:?usage: run_fuzz.sh DIR SECONDS}
seconds=${2:?usage: run_fuzz.sh DIR SECONDS}
root=$(cd "$(dirname "$0")/.." && pwd)
targets=0
for program in "$dir"/fuzz_*; do
    [ -f "$program" ] && [ -x "$program" ] || continue
    name=$(basename "$program")
    found=$dir/corpus/$name
    mkdir -p "$found"
    echo "== $name, $seconds s"
    "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$dir/$name-" "$found" "$root/tests/fuzz/corpus/$name"
    targets=$((targets + 1))
done
[ $targets -gt 0 ] || {
    echo "run_fuzz.sh: no fuzz targets in $dir" >&2
    exit 1
}
echo "fuzz: $targets targets, $seconds s each, nothing found"
