#!/bin/bash
# Runs make targets one after the other, all of them even if one fails, and ends with the summary of each.
#
#   tools/run_stages.sh TARGET...      output of each is kept in $BUILD/log/TARGET.log
set -uo pipefail

make=${MAKE:-make}
logs=${BUILD:-build}/log
mkdir -p "$logs"
failed=0
verdicts=()
for target; do
    echo "==== $target"
    if $make --no-print-directory --keep-going "$target" 2>&1 | tee "$logs/$target.log"; then
        verdicts+=("passed   $target")
    else
        verdicts+=("FAILED   $target")
        failed=1
        # Nothing after it can run without the installed package.
        [[ $target != install* ]] || break
    fi
done

echo
echo "==== summary"
printf '%s\n' "${verdicts[@]}"
for target; do
    # The runners' own last lines: run_c_tests.sh, pytest, ruff, mypy, stubtest.
    [[ ! -f $logs/$target.log ]] ||
        grep -E '^(C tests: |=+ .*(passed|failed|error).* in .*=+$|[0-9]+ (passed|failed).* in |Success: |Found [0-9]+ error|All checks passed)' \
            "$logs/$target.log" | sed "s/^/$target: /"
done
exit $failed
