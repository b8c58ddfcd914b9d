#!/usr/bin/env bash
# Measures this project on a GPU, in at most eight minutes: the most useful part first, each with a time limit.
#
#   benchmarks/gpu.sh OUT                       every part that OUT does not have yet
#   benchmarks/gpu.sh OUT --device cpu --tiny   a small version, on a CPU: a test of the script
#   benchmarks/gpu.sh --needs                   packages to bring along, as pip reads them
#
# Each part writes OUT/PART.txt and OUT/PART.parquet. A part that fails or is stopped leaves what it has measured, its
# text in OUT/PART.log, and is done again by the next call. Needs PyTorch, and nothing from a network.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

parts=(machine tests grid determinism jobs training probes analyses hours streams compiled)
declare -A limit=(
    [machine]=40 [tests]=90 [grid]=170 [determinism]=120 [jobs]=100 [training]=150 [probes]=60 [analyses]=90 [hours]=30
    [streams]=40 [compiled]=120
)
total=480

if [[ "${1:-}" == --needs ]]; then
    # Names without versions are those that a machine made for PyTorch lacks; the lock knows the versions.
    while read -r name; do grep -E "^$name==" envs/requirements.txt | cut -d' ' -f1; done < benchmarks/gpu/needs.txt
    exit
fi
if [[ $# -lt 1 || "$1" == -* ]]; then
    sed -n '/^#   /s/^# //p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
mkdir -p "$1" && out="$(cd "$1" && pwd)" && shift || exit

python=python3
[[ -x .venv/bin/python ]] && python=.venv/bin/python
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
if [[ " $* " != *" cpu "* ]] && ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "no GPU: nothing measured"
    exit 0
fi

failed=()
for part in "${parts[@]}"; do
    [[ -e "$out/$part.txt" ]] && continue
    left=$((total - SECONDS))
    if ((left < 10)); then
        failed+=("$part (no time left)")
        continue
    fi
    began=$SECONDS
    echo "== $part"
    timeout --kill-after=5 $((left < limit[$part] ? left : limit[$part])) \
        "$python" -m "benchmarks.gpu.$part" "$out" "$@" 2>&1 | tee "$out/$part.log"
    status=${PIPESTATUS[0]}
    echo "== $part: status $status, $((SECONDS - began)) s" | tee -a "$out/$part.log"
    if ((status == 0)); then
        mv "$out/$part.log" "$out/$part.txt"
    else
        failed+=("$part (status $status)")
    fi
done
if ((${#failed[@]})); then
    echo "not finished: ${failed[*]}"
    exit 1
fi
