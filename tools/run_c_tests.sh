#!/bin/sh
# Runs every C test program, and every fuzz target on its committed corpus, each with a time limit; adds up the results.
#
#   tools/run_c_tests.sh DIR [TEST...]      DIR/tests/TEST, all of them if none is named, and DIR/fuzz/fuzz_*
set -eu

dir=${1:?usage: run_c_tests.sh DIR [TEST...]}
shift
limit=${C_TEST_SECONDS:-120}
root=$(cd "$(dirname "$0")/.." && pwd)
export ASAN_OPTIONS="${ASAN_OPTIONS-detect_stack_use_after_return=1:strict_string_checks=1}"
export LSAN_OPTIONS="${LSAN_OPTIONS-suppressions=$root/tools/lsan.supp:print_suppressions=0}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS-print_stacktrace=1}"
CWS_TEST_BIN="$(cd "$dir" && pwd)/bin"
export CWS_TEST_BIN

log=$(mktemp)
trap 'rm -f "$log"' EXIT
programs=0
passed=0
failed=

run() { # NAME PATTERN COMMAND...: PATTERN finds the number of passed tests in the output
    name=$1
    pattern=$2
    shift 2
    programs=$((programs + 1))
    status=0
    timeout --kill-after=5 "$limit" "$@" >"$log" 2>&1 </dev/null || status=$?
    count=$(sed -n "$pattern" "$log" | awk '{ sum += $1 } END { print sum + 0 }')
    passed=$((passed + count))
    if [ $status != 0 ] || [ "$count" = 0 ]; then
        failed="$failed $name"
        cat "$log"
        [ $status != 124 ] || echo "$name: still running after $limit s, killed"
        echo "FAILED   $name (exit $status, $count passed)"
    else
        echo "passed   $name ($count)"
    fi
}

# Named, since the folder may also have programs whose sources are gone.
[ $# -gt 0 ] || set -- $(cd "$dir/tests" && find . -name 'test_*' | LC_ALL=C sort)
for name; do
    program=$dir/tests/$name
    run "${name#./}" 's/^\[  PASSED  \] \([0-9]*\) test(s).*/\1/p' "$program"
done
for program in "$dir"/fuzz/fuzz_*; do
    [ -f "$program" ] && [ -x "$program" ] || continue
    name=$(basename "$program")
    run "$name" 's/^\([0-9]*\) inputs$/\1/p' "$program" "$root/tests/fuzz/corpus/$name"
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
