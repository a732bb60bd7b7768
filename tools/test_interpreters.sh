#!/bin/bash
# Runs the tests of the C types on every other interpreter there is, on the one wheel that all of them share.
#
#   tools/test_interpreters.sh      venvs in $BUILD/venv; looks on PATH and among pyenv's versions
#
# A free-threaded build gets a wheel of its own and the tests that need no peer from PyPI, as grpcio has no wheels for it.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
build=$(mkdir -p "${BUILD:-build}" && cd "${BUILD:-build}" && pwd)
pyenv=$({ command -v pyenv >/dev/null && pyenv root; } 2>/dev/null || echo /nonexistent)
wanted="3.12 3.13 3.14 3.13t 3.14t"

# The newest installed interpreter of that version: first on PATH, then pyenv's.
find_interpreter() { # VERSION
    local candidate
    for candidate in $(command -v "python$1" || true) $(printf '%s\n' "$pyenv"/versions/"${1%t}".*/bin/"python$1" | sort -rV); do
        [ -x "$candidate" ] && "$candidate" -c 'import venv, ensurepip' 2>/dev/null || continue
        echo "$candidate"
        return
    done
}

run_on() { # VERSION INTERPRETER
    local venv=$build/venv/$1 python tests
    python=$venv/bin/python
    [ -x "$python" ] || "$2" -m venv "$venv"
    local pip=("$python" -m pip --quiet --disable-pip-version-check)
    if [[ $1 = *t ]]; then
        "${pip[@]}" install pytest pytest-asyncio pytest-timeout
        "${pip[@]}" install --force-reinstall --no-deps "$root"
        tests=$root/tests/isolated/test_free_threaded.py
    else
        "${pip[@]}" install "$wheel[dev]"
        "${pip[@]}" install --force-reinstall --no-deps "$wheel"
        tests=$root/tests/native
    fi
    mkdir -p "$build/empty"
    (cd "$build/empty" && "$python" -m pytest -c "$root/pyproject.toml" --rootdir "$root" -p no:cacheprovider -q "$tests")
}

wheel=
found=()
missing=()
failed=()
for version in $wanted; do
    interpreter=$(find_interpreter "$version")
    if [ -z "$interpreter" ]; then
        missing+=("$version")
        continue
    fi
    if [ -z "$wheel" ]; then
        rm -rf "$build/wheel"
        "${VENV:-.venv}/bin/python" -m pip --quiet --disable-pip-version-check wheel --no-deps -w "$build/wheel" "$root"
        wheel=$(echo "$build"/wheel/*.whl)
    fi
    echo "---- $version: $interpreter"
    found+=("$version")
    run_on "$version" "$interpreter" || failed+=("$version")
done

echo "interpreters: tested on ${found[*]:-none}; not found: ${missing[*]:-none}"
[ ${#failed[@]} = 0 ] || {
    echo "interpreters: FAILED on ${failed[*]}"
    exit 1
}
