# Slurm with four slurmd on this host, munge with a key and a socket of its own. No systemd, no cgroups. Sourced by up.sh.
# A SLURM_JWT or another SLURM_* left in the environment changes how every client and daemon behaves.
unset ${!SLURM_@}
SLURM=$BACKENDS/slurm MUNGE=$BACKENDS/munge
NODES=4 CPUS=64 MEMORY=256000 GPUS=4
CTLD_PORT=$BACKENDS_PORT NODE_PORT=$((BACKENDS_PORT + 4))
export SLURM_CONF=$SLURM/etc/slurm.conf

start_munge() {
  mkdir -p "$MUNGE"
  [ -s "$MUNGE/key" ] || (umask 077; head -c 1024 /dev/urandom > "$MUNGE/key")
  chown -R munge:munge "$MUNGE"
  chmod 755 "$MUNGE"
  chmod 400 "$MUNGE/key"
  is_running "$MUNGE/pid" munged && return
  setpriv --reuid munge --regid munge --clear-groups /usr/sbin/munged --key-file="$MUNGE/key" --socket="$MUNGE/sock" \
    --pid-file="$MUNGE/pid" --log-file="$MUNGE/log" --seed-file="$MUNGE/seed" --num-threads=2
}

make_folders() {
  mkdir -p "$SLURM"/{etc,log,state,pid,dev} "$SLURM"/spool/n{1..4}
  chmod 755 "$SLURM" "$SLURM/etc"
  chown slurm "$SLURM"/{log,state,pid}
  touch "$SLURM/log/jobcomp.txt"
  chown slurm "$SLURM/log/jobcomp.txt"
  chmod 644 "$SLURM/log/jobcomp.txt"
  # Several GPUs of a node need distinct device files; clones of /dev/null will do.
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
  cat > "$SLURM_CONF" <<CONF
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
  # Newer Slurm looks for cgroups even where nothing uses them; this one does not know the word.
  rm -f "$SLURM/etc/cgroup.conf"
  case $(slurmctld -V) in *" 22."*) ;; *) echo "CgroupPlugin=disabled" > "$SLURM/etc/cgroup.conf" ;; esac
}

all_nodes_answer() {
  [ "$(timeout 3 sinfo -h -N -p debug -t idle,mixed,allocated -o %N 2>/dev/null | sort -u | wc -l)" = "$NODES" ]
}

start_munge
make_folders
write_configuration
is_running "$SLURM/pid/slurmctld.pid" slurmctld || slurmctld </dev/null >/dev/null 2>&1
for node in $(seq "$NODES"); do
  is_running "$SLURM/pid/slurmd-n$node.pid" slurmd || slurmd -N "n$node" </dev/null >/dev/null 2>&1
done
wait_until 30 "Slurm's nodes do not answer: see $SLURM/log" all_nodes_answer
