#!/bin/sh
# Brings Prometheus and promtool into a folder, from the distribution's package (no root needed):
#   tests/bring_prometheus.sh .tools/prometheus
# Prints the folder of the programs. What is on the path, or there already, is taken as it is.
set -eu
into=$1
if command -v promtool >/dev/null 2>&1 && command -v prometheus >/dev/null 2>&1; then
    dirname "$(command -v promtool)"
    exit 0
fi
if [ ! -x "$into/usr/bin/promtool" ]; then
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || {
        echo "bring_prometheus: put prometheus and promtool on the path (no apt-get here)" >&2
        exit 1
    }
    mkdir -p "$into"
    scratch=$(mktemp -d "$into/part.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    (cd "$scratch" && apt-get -qq download prometheus) >&2
    dpkg -x "$scratch"/prometheus_*.deb "$scratch/whole"
    # Whoever came first at the same time has won; both brought the same.
    mv -T "$scratch/whole/usr" "$into/usr" 2>/dev/null || test -x "$into/usr/bin/promtool"
fi
echo "$into/usr/bin"
