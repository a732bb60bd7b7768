#!/bin/sh
# Runs every C test program of a folder, each with a time limit, and adds up what cmocka says.
#
#   tools/run_c_tests.sh DIR      DIR/test_* as `make test-programs` left them
set -eu

dir=${1:?usage: run_c_tests.sh DIR}
limit=${C_TEST_SECONDS:-120}
root=$(cd "$(dirname "$0")/.." && pwd)
export ASAN_OPTIONS="${ASAN_OPTIONS-detect_stack_use_after_return=1:strict_string_checks=1}"
export LSAN_OPTIONS="${LSAN_OPTIONS-suppressions=$root/tools/lsan.supp:print_suppressions=0}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS-print_stacktrace=1}"
export CWS_TEST_BIN="$(cd "$dir/.." && pwd)/bin"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
programs=0
passed=0
failed=
for program in "$dir"/test_*; do
    [ -x "$program" ] || continue
    programs=$((programs + 1))
    status=0
    timeout --kill-after=5 "$limit" "$program" >"$log" 2>&1 || status=$?
    count=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test(s).*/\1/p' "$log" | awk '{ sum += $1 } END { print sum + 0 }')
    passed=$((passed + count))
    if [ $status != 0 ]; then
        failed="$failed $(basename "$program")"
        cat "$log"
        [ $status != 124 ] || echo "$(basename "$program"): still running after $limit s, killed"
        echo "FAILED   $(basename "$program") (exit $status)"
    else
        echo "passed   $(basename "$program") ($count tests)"
    fi
done

[ $programs -gt 0 ] || {
    echo "run_c_tests.sh: no test programs in $dir" >&2
    exit 1
}
[ -z "$failed" ] || {
    echo "C tests: $passed passed in $programs programs; FAILED:$failed"
    exit 1
}
echo "C tests: $passed passed in $programs programs"
