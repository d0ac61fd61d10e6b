#!/usr/bin/env bash
# Runs the incident N times idle and N times while every processor is kept busy, and compares the timelines byte by
# byte. Usage: tests/determinism.sh [N, default 200] [scenario]
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-200}
scenario=${2:-scenarios/incident.md}
cargo build --locked --release --quiet
relapse=target/release/relapse
work=$(mktemp -d)
load=()
stop() {
    [ ${#load[@]} -eq 0 ] || kill "${load[@]}" 2>/dev/null || true
    rm -rf "$work"
}
trap stop EXIT

# A timeline must hold nothing of the host.
round() {
    local name=$1 i
    for i in $(seq "$runs"); do
        "$relapse" run --artifacts "$work/one" "$scenario" 2>"$work/said" || { cat "$work/said"; exit 1; }
        find "$work/one" -name timeline.jsonl -exec sha256sum {} + | cut -d' ' -f1 >>"$work/$name"
        [ -e "$work/first" ] || cp "$(find "$work/one" -name timeline.jsonl)" "$work/first"
        rm -rf "$work/one"
    done
    printf '%-5s %s runs, %s different timeline(s)\n' "$name" "$runs" "$(sort -u "$work/$name" | wc -l)"
}

round idle
for _ in $(seq "$(nproc)"); do
    for _ in 1 2 3; do
        ( while :; do :; done ) &
        load+=($!)
    done
done
round busy
sort -u "$work/idle" "$work/busy" | wc -l >"$work/distinct"
if grep -nE '/tmp/|relapse' "$work/first"; then
    echo "the timeline names something of the host"
    exit 1
fi
if [ "$(cat "$work/distinct")" = 1 ]; then
    echo "all equal: $(sort -u "$work/idle")"
else
    echo "NOT equal"
    exit 1
fi
