#!/bin/sh
# Runs the tests and writes their results where Jenkins reads them.
#
#   deploy/junit.sh junit.xml
set -eu
out=$1
bin=${VENV:-.venv}/bin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$bin/pip" install --quiet --disable-pip-version-check 'python-subunit>=1.4,<2' 'junitxml>=0.7,<1'
# A pipe has the status of its last command only, and plain sh knows no other.
status=0
"$bin/python" -m twisted.trial --reporter=subunit tests >"$work/results" || status=$?
"$bin/subunit-1to2" <"$work/results" | "$bin/subunit2junitxml" --no-passthrough -o "$out" || true
test -s "$out"
exit "$status"
