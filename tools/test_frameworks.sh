#!/bin/bash
# Runs tests/frameworks: each adapter of cwsandbox/integrations with its framework, on the local daemon.
#
#   tools/test_frameworks.sh [NAME...]      Default: all. PYTEST_ARGS selects tests
#
# A framework has the tests test_NAME.py and requirements/NAME.txt, which begins with "# Python X.Y" and pins everything
# that is installed there. Each has a virtual environment of its own, since they ask for different versions of the same
# packages; it is made anew when its requirements change. A framework that the registry does not give, or whose Python
# is missing, is skipped by name. mypy, which is not among what a framework needs, checks each adapter with the types of
# its framework. What it finds, and tests that fail or hang, are a failure.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
build=$(mkdir -p "${BUILD:-build}" && cd "${BUILD:-build}" && pwd)
home=$root/tests/frameworks
tools=$(cd "${VENV:-$root/.venv}" && pwd)
pyenv=$({ command -v pyenv >/dev/null && pyenv root; } 2>/dev/null || echo /nonexistent)

# The newest installed interpreter of that version: first on PATH, then pyenv's.
find_interpreter() { # VERSION
    local candidate
    for candidate in "python$1" $(printf '%s\n' "$pyenv"/versions/"$1".*/bin/python | sort -rV); do
        "$candidate" -c 'import ensurepip, venv' 2>/dev/null || continue
        echo "$candidate"
        return
    done
}

# Leaves an environment with what NAME.txt pins in $venv, or says in $skipped why there is none.
make_environment() { # NAME
    local requirements=$home/requirements/$1.txt version python
    version=$(sed -n '1s/^# Python //p' "$requirements")
    venv=$build/frameworks/$1-$(sha256sum "$requirements" | cut -c 1-12)
    skipped=
    [ ! -e "$venv/complete" ] || return 0
    rm -rf "$build/frameworks/$1"-*
    python=$(find_interpreter "$version")
    if [ -z "$python" ]; then
        skipped="there is no Python $version"
        return 0
    fi
    "$python" -m venv "$venv"
    # Without dependencies: they are pinned, too, and what a framework does not need here is left out. Most of what is
    # installed is never imported, so nothing is compiled in advance. Whatever patch level of Python a framework asks
    # for: it is tested with the one that is here.
    if timeout 240 "$venv/bin/python" -m pip --quiet --disable-pip-version-check install --no-deps --no-compile \
        --ignore-requires-python -r "$requirements"; then
        touch "$venv/complete"
    else
        skipped="the registry does not give all that $1.txt pins, or not within 240 s"
    fi
}

# The adapter against the framework's own types.
check_types() { # NAME
    local adapter=python/cwsandbox/integrations/$1.py
    [ -e "$root/$adapter" ] || return 0
    (cd "$root" && timeout --kill-after 10 180 "$tools/bin/python" -m mypy --follow-imports=silent \
        --follow-untyped-imports --python-executable "$venv/bin/python" --cache-dir "$venv/mypy" "$adapter")
}

run_tests() { # NAME
    "$venv/bin/python" -m pip --quiet --disable-pip-version-check install --force-reinstall --no-deps \
        "$build"/frameworks/wheel/*.whl
    (cd "$build/empty" && timeout --kill-after 10 180 "$venv/bin/python" -m pytest -c "$root/pyproject.toml" \
        --rootdir "$root" -p no:cacheprovider ${PYTEST_ARGS:-} "$home/test_$1.py") ||
        { [ $? = 5 ] && [ -n "${PYTEST_ARGS:-}" ]; } # those asked for are another framework's
}

[ $# -gt 0 ] || set -- $(cd "$home/requirements" && ls -- *.txt | sed 's/\.txt$//')
mkdir -p "$build/empty"
rm -rf "$build/frameworks/wheel"
"$tools/bin/python" -m pip --quiet --disable-pip-version-check wheel --no-deps \
    -w "$build/frameworks/wheel" "$root"

tested=()
missing=()
failed=()
for name; do
    echo "---- $name"
    make_environment "$name"
    if [ -n "$skipped" ]; then
        echo "test_frameworks.sh: SKIPPED: $name: $skipped"
        missing+=("$name")
    elif check_types "$name" && run_tests "$name"; then
        tested+=("$name")
    else
        failed+=("$name")
    fi
done

echo "frameworks: passed ${tested[*]:-none}; skipped ${missing[*]:-none}"
[ ${#failed[@]} = 0 ] || {
    echo "frameworks: FAILED ${failed[*]}"
    exit 1
}
