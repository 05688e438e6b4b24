#!/bin/bash
# Stops the processes that up.sh started, jobs included, by their recorded pids. Keeps the folder.
# Environment: BACKENDS, as for up.sh.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$HERE/parts/where.sh"
source "$HERE/parts/processes.sh"

cancel_all_jobs() { # slurmd leaves jobs running when it stops, so they must end while Slurm still answers
  timeout 10 squeue -h -o %i | xargs -r timeout 10 scancel
  for _ in $(seq 50); do [ -n "$(timeout 5 squeue -h -t R,CG -o %i)" ] || return 0; sleep 0.1; done
}

export SLURM_CONF=$BACKENDS/slurm/etc/slurm.conf
if is_running "$BACKENDS/slurm/pid/slurmctld.pid" slurmctld; then cancel_all_jobs || true; fi
# The listener's children are login sessions, which would outlive it.
if is_running "$BACKENDS/ssh/pid" sshd; then pkill -P "$(cat "$BACKENDS/ssh/pid")" || true; fi
stop "$BACKENDS/ssh/pid" sshd
stop "$BACKENDS/keycloak/pid" java
for pidfile in "$BACKENDS"/slurm/pid/slurmd-*.pid; do stop "$pidfile" slurmd; done
stop "$BACKENDS/slurm/pid/slurmctld.pid" slurmctld
stop "$BACKENDS/slurm/pid/slurmdbd.pid" slurmdbd
stop "$BACKENDS/mariadb/pid" mariadbd
stop "$BACKENDS/munge/pid" munged
rm -f "$BACKENDS/env.json"
