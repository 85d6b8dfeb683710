#!/bin/sh
# Makes the machine of a cell ready, has the recorder watch what happens, and tells what the guard says of it.
# ./cell says which: LIMIT, LINGER, DATABASE (MiB), DISK (MiB of data; 0: it is for swap), GUARD (its unit,
# or nothing), PROTECTED (properties of the database's service).
set -eu
cd /opt/vm
. ./cell

bystander() {
    name=$1
    shift
    systemd-run --quiet --unit="$name" --slice=workload.slice --property=OOMPolicy=continue "$@"
}

[ "$DISK" = 0 ] || swapoff -a
mount -o remount,size=100% /dev/shm
mkdir -p /run/gauntlet
./setup
systemctl daemon-reload
systemctl start workload.slice workload-hogs.slice
bystander database $PROTECTED /opt/vm/database /run/gauntlet/database "$DATABASE"
bystander interactive /opt/vm/interactive /run/gauntlet/interactive 32
bystander locked /opt/vm/locked /run/gauntlet/locked 1 locked
group=-
if [ "$GUARD" ]; then
    systemctl start "$GUARD"
    group=/sys/fs/cgroup$(systemctl show --value --property=ControlGroup "$GUARD")
fi
# The guard learns its processes, the database fills its memory, and what boot left over ends.
sleep 10

hogs=/sys/fs/cgroup/workload.slice/workload-hogs.slice
boards="/run/gauntlet/database /run/gauntlet/interactive /run/gauntlet/locked"
./recorder "$LIMIT" "$LINGER" "$hogs" "$group" /opt/vm/start $boards

# From here on, only for people to read.
if [ "$GUARD" ]; then
    timeout 30 journalctl --quiet --no-pager --output=short-monotonic --unit="$GUARD" --lines=200 || true
fi
if [ "$GUARD" = oomguard.service ]; then
    timeout 30 /opt/oomguard/bin/oomguard status --json || true
    echo
fi
