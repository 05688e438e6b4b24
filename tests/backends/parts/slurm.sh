# Slurm with four slurmd on this host. No systemd, no cgroups. Sourced by up.sh after munge.sh and, with DBD=1, slurmdbd.sh.
NODES=4 CPUS=64 MEMORY=256000 GPUS=4
CTLD_PORT=$BACKENDS_PORT NODE_PORT=$((BACKENDS_PORT + 4))

make_folders() {
  mkdir -p "$SLURM"/{state,dev} "$SLURM"/spool/n{1..4}
  chown slurm "$SLURM/state"
  touch "$SLURM/log/jobcomp.txt"
  chown slurm "$SLURM/log/jobcomp.txt"
  chmod 644 "$SLURM/log/jobcomp.txt"
  # Several GPUs of a node need distinct device files; copies of /dev/null suffice.
  for gpu in $(seq 0 $((GPUS - 1))); do
    [ -e "$SLURM/dev/gpu$gpu" ] || mknod -m 666 "$SLURM/dev/gpu$gpu" c 1 3
  done
}

write_configuration() {
  local accounting=""
  [ "$DBD" = 0 ] || accounting="AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$DBD_PORT
AccountingStoragePass=$MUNGE/sock
AccountingStorageTRES=gres/gpu
JobAcctGatherType=jobacct_gather/linux"
  cat > "$SLURM_CONF.new" <<CONF
ClusterName=isthmus
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=slurm
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$MUNGE/sock
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort=$CTLD_PORT
SlurmctldPidFile=$SLURM/pid/slurmctld.pid
SlurmdPidFile=$SLURM/pid/slurmd-%n.pid
SlurmdSpoolDir=$SLURM/spool/%n
StateSaveLocation=$SLURM/state
SlurmctldLogFile=$SLURM/log/slurmctld.log
SlurmdLogFile=$SLURM/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0,sched_interval=5,bf_interval=5,default_queue_depth=1000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MaxJobCount=20000
MinJobAge=${MINJOBAGE:-300}
KillWait=2
InactiveLimit=0
Waittime=0
JobCompType=jobcomp/filetxt
JobCompLoc=$SLURM/log/jobcomp.txt
GresTypes=gpu
DefMemPerCPU=100
$accounting
NodeName=n[1-$NODES] NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=[$NODE_PORT-$((NODE_PORT + NODES - 1))] Sockets=1 CoresPerSocket=$CPUS ThreadsPerCore=1 RealMemory=$MEMORY Gres=gpu:a100:$GPUS State=UNKNOWN
PartitionName=debug Nodes=n[1-$NODES] Default=YES MaxTime=60 DefaultTime=5 State=UP OverSubscribe=NO
PartitionName=gpu Nodes=n[1-$NODES] MaxTime=60 DefaultTime=5 State=UP
PartitionName=closed Nodes=n[1-$NODES] MaxTime=60 DefaultTime=5 State=DOWN
CONF
  cat > "$SLURM/etc/gres.conf" <<CONF
AutoDetect=off
NodeName=n[1-$NODES] Name=gpu Type=a100 File=$SLURM/dev/gpu[0-$((GPUS - 1))]
CONF
  # Newer Slurm looks for cgroups even if nothing uses them; Slurm 22.05 does not know this setting.
  rm -f "$SLURM/etc/cgroup.conf"
  case $(slurmctld -V) in *" 22."*) ;; *) echo "CgroupPlugin=disabled" > "$SLURM/etc/cgroup.conf" ;; esac
}

install_configuration() { # daemons with another configuration are stopped first
  if [ -f "$SLURM_CONF" ] && ! cmp -s "$SLURM_CONF" "$SLURM_CONF.new"; then
    for node in $(seq "$NODES"); do stop "$SLURM/pid/slurmd-n$node.pid" slurmd; done
    stop "$SLURM/pid/slurmctld.pid" slurmctld
  fi
  mv "$SLURM_CONF.new" "$SLURM_CONF"
}

all_nodes_answer() {
  # Otherwise the next up.sh would start a second slurmd while the first has no pid file yet.
  for node in $(seq "$NODES"); do is_running "$SLURM/pid/slurmd-n$node.pid" slurmd || return 1; done
  [ "$(timeout 3 sinfo -h -N -p debug -t idle,mixed,allocated -o %N 2>/dev/null | sort -u | wc -l)" = "$NODES" ]
}

make_folders
write_configuration
install_configuration
is_running "$SLURM/pid/slurmctld.pid" slurmctld || slurmctld </dev/null >/dev/null 2>&1
for node in $(seq "$NODES"); do
  is_running "$SLURM/pid/slurmd-n$node.pid" slurmd || slurmd -N "n$node" </dev/null >/dev/null 2>&1
done
wait_until 30 "Slurm's nodes do not answer: see $SLURM/log" all_nodes_answer

# slurmdbd stores accounts; without an account Slurm accepts no jobs.
if [ "$DBD" != 0 ]; then
  timeout 20 sacctmgr -i add account default > /dev/null 2>&1 || true # it may exist already
  timeout 20 sacctmgr -i add user "$HPC_USER" account=default > /dev/null 2>&1 || true
  timeout 20 sacctmgr -n show user "$HPC_USER" | grep -q default
fi
