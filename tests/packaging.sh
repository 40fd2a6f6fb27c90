#!/bin/sh
# Builds wheel and sdist, installs each into a clean environment, and runs twistd from elsewhere.
set -eu
python=$1
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m build --outdir "$work/dist" "$root" >"$work/build.log" 2>&1 || {
    cat "$work/build.log"
    exit 1
}
for package in "$work"/dist/*.whl "$work"/dist/*.tar.gz; do
    rm -rf "$work/env"
    "$python" -m venv "$work/env"
    "$work/env/bin/pip" install --quiet --disable-pip-version-check "$package"
    (cd / && "$work/env/bin/twistd" metro-backend --help >"$work/help")
    grep -q -- --state-dir "$work/help"
    # Templates and the type marker must have come along.
    (cd / && "$work/env/bin/python" -c '
from importlib.resources import files
root = files("metro_backend")
assert (root / "py.typed").is_file()
assert (root / "api" / "templates" / "index.html").is_file()
')
    echo "ok: $(basename "$package")"
done
