#!/usr/bin/env bash
# A Slurm of two nodes on loopback, for tests: `slurm.sh start FOLDER`, `slurm.sh lose FOLDER NODE`
# and `slurm.sh stop FOLDER`, as root. All that it writes lies in FOLDER, but for a link at
# /etc/slurm/slurm.conf: Snakemake's executor clears SLURM_CONF, so that jobs find no other place.
set -euo pipefail
action=$1
folder=$2
conf=$folder/slurm.conf
link=/etc/slurm/slurm.conf
nodes=(loopback1 loopback2)

# A power cut: kill -9 of all that runs on a node, so that Slurm has to notice by itself. First its
# daemons, which have its log open: slurmstepd would report that its job ended. Then the jobs, which
# have the node's name in their environment.
lose() {
    local pids
    pids=$(find /proc/[0-9]*/fd -lname "$folder/$1.log" 2>/dev/null | cut -d/ -f3 || true)
    while [ "$pids" ]; do
        kill -9 $pids 2>/dev/null || true
        pids=$(grep -lsxz "SLURMD_NODENAME=$1" /proc/[0-9]*/environ | cut -d/ -f3 || true)
    done
}

stop() {
    local name pid
    for name in "${nodes[@]}"; do
        lose "$name"
    done
    for name in slurmctld munged; do
        [ -s "$folder/$name.pid" ] || continue
        pid=$(cat "$folder/$name.pid")
        kill "$pid" 2>/dev/null || continue
        for _ in $(seq 50); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.2
        done
    done
    [ "$(readlink "$link")" != "$conf" ] || rm "$link"
}

start() {
    if [ -e "$link" ]; then
        echo "$link: this machine has a Slurm of its own; not touching it" >&2
        return 1
    fi
    mkdir -p "$folder"/{state,munge}
    chmod 0711 "$folder"
    local host name port=26818
    host=$(hostname -s)
    # Short times, so that tests wait less: to notice a lost node (SlurmdTimeout), to start a requeued
    # job again (cred_expire, bf_interval). A job goes to the node with the most free CPUs (LLN), and
    # squeue knows where a finished one ran (MinJobAge).
    cat > "$conf" <<CONF
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=26817
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket,cred_expire=20
CryptoType=crypto/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=5
SlurmdTimeout=15
ReturnToService=2
KillWait=10
MinJobAge=3600
PartitionName=main Nodes=ALL LLN=YES Default=YES MaxTime=INFINITE State=UP
CONF
    for name in "${nodes[@]}"; do
        echo "NodeName=$name NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port++)) CPUs=16" \
            "RealMemory=200000 State=UNKNOWN" >> "$conf"
    done
    mkdir -p "$(dirname "$link")"
    ln -sf "$conf" "$link"
    dd if=/dev/urandom of="$folder/munge/key" bs=128 count=1 status=none
    chmod 0700 "$folder/munge"
    chmod 0600 "$folder/munge/key"
    munged --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" \
        --pid-file="$folder/munged.pid" --log-file="$folder/munge/log" \
        --seed-file="$folder/munge/seed"
    slurmctld -c
    for name in "${nodes[@]}"; do
        slurmd -c -N "$name"
    done
    for _ in $(seq 100); do
        [ "$(sinfo --noheader --Node --states=idle 2>/dev/null | wc -l)" -ne ${#nodes[@]} ] || return 0
        sleep 0.2
    done
    sinfo || true
    tail "$folder"/*.log
    return 1
}

"$action" "${@:3}"
