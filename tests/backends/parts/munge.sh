# munge with its own key and socket, and the folders that all Slurm daemons share. Sourced by up.sh.
# SLURM_JWT or another SLURM_* variable in the environment would change how clients and daemons behave.
unset ${!SLURM_@}
SLURM=$BACKENDS/slurm MUNGE=$BACKENDS/munge
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

mkdir -p "$SLURM"/{etc,log,pid}
chmod 755 "$SLURM" "$SLURM/etc"
chown slurm "$SLURM"/{log,pid}
start_munge
