#!/usr/bin/env bash
# A Slurm of one node on loopback, for tests: `slurm.sh start FOLDER` and `slurm.sh stop FOLDER`, as
# root. All that it writes lies in FOLDER, but for a link at /etc/slurm/slurm.conf: Snakemake's
# executor clears SLURM_CONF, so that jobs find no other place.
set -euo pipefail
action=$1
folder=$2
conf=$folder/slurm.conf
link=/etc/slurm/slurm.conf

stop() {
    local name pid
    for name in slurmd slurmctld munged; do
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
    mkdir -p "$folder"/{state,spool,munge}
    chmod 0711 "$folder"
    local name
    name=$(hostname -s)
    cat > "$conf" <<CONF
ClusterName=local
SlurmctldHost=$name(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=26817
SlurmdPort=26818
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CryptoType=crypto/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
ReturnToService=2
KillWait=10
NodeName=$name NodeAddr=127.0.0.1 CPUs=8 RealMemory=200000 State=UNKNOWN
PartitionName=main Nodes=$name Default=YES MaxTime=INFINITE State=UP
CONF
    mkdir -p "$(dirname "$link")"
    ln -sf "$conf" "$link"
    dd if=/dev/urandom of="$folder/munge/key" bs=128 count=1 status=none
    chmod 0700 "$folder/munge"
    chmod 0600 "$folder/munge/key"
    munged --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" \
        --pid-file="$folder/munged.pid" --log-file="$folder/munge/log" \
        --seed-file="$folder/munge/seed"
    slurmctld -c 
    slurmd -c 
    for _ in $(seq 100); do
        sinfo --noheader --format=%T 2>/dev/null | grep -qx idle && return
        sleep 0.2
    done
    sinfo || true
    tail "$folder"/*.log
    return 1
}

"$action"
