#!/usr/bin/env bash
# A real SLURM on this machine alone, for tests: one node, two pretended GPUs, everything below one folder.
#
#   single_node_slurm.sh install        Debian's packages, as root (nothing is started)
#   single_node_slurm.sh up FOLDER      write the configuration, start munged, slurmctld and slurmd, wait until the node is idle
#   single_node_slurm.sh restart FOLDER stop slurmctld hard and start it again
#   single_node_slurm.sh down FOLDER    cancel what is left and end the three, each by its own id
#
# Call it with FOLDER/bin first on PATH: the clients there know this SLURM (inside a job the executor plugin drops the
# variable SLURM_CONF). No other SLURM of the machine is touched: own ports, own socket and key. Any user may call it.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"

packages=(slurmctld slurmd slurm-client munge)

install() {
    local policy=/usr/sbin/policy-rc.d
    # Installing must not start anything, which Debian asks this file about.
    if [[ ! -e $policy ]]; then
        trap "rm -f $policy" EXIT
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
    fi
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

write_configuration() {
    local node user
    node=$(hostname -s) user=$(id -un)
    mkdir -p "$root"/{state,spool,log,run,munge}
    chmod 755 "$root" "$root/munge"
    # SLURM counts character devices, whatever is behind them, and hands out their indices.
    ln -sf /dev/null "$root/run/gpu0"
    ln -sf /dev/null "$root/run/gpu1"
    cat >"$root/gres.conf" <<END
AutoDetect=off
NodeName=$node Name=gpu Type=fake File=$root/run/gpu[0-1]
END
    cat >"$root/slurm.conf" <<END
ClusterName=test
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$root/munge/socket
CredType=cred/munge
StateSaveLocation=$root/state
SlurmdSpoolDir=$root/spool
SlurmctldPidFile=$root/run/slurmctld.pid
SlurmdPidFile=$root/run/slurmd.pid
SlurmctldLogFile=$root/log/slurmctld.log
SlurmdLogFile=$root/log/slurmd.log
MpiDefault=none
# All processes of a step end with it, as with the control groups of a cluster, also those whose parents ended first.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$root/log/jobs.txt
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,batch_sched_delay=0,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1000
ReturnToService=2
MinJobAge=3600
KillWait=5
GresTypes=gpu
# A node as clusters have them, whatever this machine is: jobs of tests ask for much and use little.
SlurmdParameters=config_overrides
NodeName=$node NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000 Gres=gpu:fake:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=7-00:00:00 State=UP OverSubscribe=NO
END
}

# Clients that find this SLURM whatever the environment says.
write_clients() {
    local client
    mkdir -p "$root/bin"
    for client in sbatch srun squeue scancel scontrol sinfo; do
        printf '#!/bin/sh\nSLURM_CONF=%q exec %q "$@"\n' "$SLURM_CONF" "$(command -v "$client")" >"$root/bin/$client"
        chmod +x "$root/bin/$client"
    done
}

start_controller() {
    slurmctld -f "$root/slurm.conf"
}

up() {
    write_configuration
    write_clients
    head -c 1024 /dev/urandom >"$root/munge/key"
    chmod 400 "$root/munge/key"
    munged --force --socket="$root/munge/socket" --key-file="$root/munge/key" --pid-file="$root/run/munged.pid" \
        --log-file="$root/log/munged.log" --seed-file="$root/munge/seed" 2>>"$root/log/munged.err"
    start_controller
    slurmd -f "$root/slurm.conf"
    await_idle
}

await_idle() {
    for _ in $(seq 150); do
        [[ "$(sinfo -h -o %T 2>/dev/null)" != idle ]] || return 0
        sleep 0.2
    done
    echo "error: the node did not become idle; see $root/log" >&2
    return 1
}

end() { # by the process id in a file, gently, then hard
    local file="$root/run/$1.pid" id
    [[ -s "$file" ]] || return 0
    id=$(cat "$file")
    kill "${2:--TERM}" "$id" 2>/dev/null || return 0
    for _ in $(seq 100); do
        kill -0 "$id" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$id" 2>/dev/null || true
}

down() {
    timeout 20 scancel --quiet --user="$(id -un)" 2>/dev/null || true
    for _ in $(seq 100); do
        [[ -n "$(timeout 20 squeue --noheader 2>/dev/null)" ]] || break
        sleep 0.2
    done
    end slurmd
    end slurmctld
    end munged
}

[[ "${1:-}" == install ]] && { install; exit; }
[[ $# -eq 2 ]] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$2"
root=$(cd "$2" && pwd)
PATH=${PATH//"$root/bin:"/} # this script itself calls the real clients
export SLURM_CONF="$root/slurm.conf"
case "$1" in
    up) up ;;
    restart) end slurmctld -KILL && start_controller ;;
    down) down ;;
    *) echo "unknown: $1" >&2; exit 2 ;;
esac
