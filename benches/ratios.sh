#!/bin/sh
# Prints the ratios of every benchmark that compares this crate with something else, in one run:
#   sh benches/ratios.sh            all of them
#   sh benches/ratios.sh host cycle those
# With RELAPSE_BENCH_STRICT=1 it ends with 1 if one is over its bound.
set -u
cd "$(dirname "$0")/.." || exit 2
all="cycle manager host detect"
status=0
for bench in ${*:-$all}; do
    # `detect` need not be there.
    [ -e "benches/$bench.rs" ] || { echo "== $bench: there is no benches/$bench.rs"; continue; }
    echo "== $bench"
    cargo bench --locked --quiet --bench "$bench" || status=1
done
exit $status
