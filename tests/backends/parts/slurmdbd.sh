# slurmdbd with its own MariaDB, so that sacct answers. Sourced by up.sh if DBD=1, before slurm.sh.
MARIADB=$BACKENDS/mariadb
DBD_PORT=$((BACKENDS_PORT + 1)) MARIADB_PORT=$((BACKENDS_PORT + 2))

start_mariadb() {
  mkdir -p "$MARIADB"
  chown mysql "$MARIADB"
  if [ ! -d "$MARIADB/data/mysql" ]; then
    mariadb-install-db --no-defaults --user=mysql --datadir="$MARIADB/data" --skip-test-db \
      --auth-root-authentication-method=normal > "$MARIADB/install.log" 2>&1
  fi
  is_running "$MARIADB/pid" mariadbd && return
  setsid mariadbd --no-defaults --user=mysql --datadir="$MARIADB/data" --bind-address=127.0.0.1 --port="$MARIADB_PORT" \
    --socket="$MARIADB/sock" --pid-file="$MARIADB/pid" --innodb-buffer-pool-size=64M --innodb-log-file-size=16M \
    --innodb-lock-wait-timeout=900 --innodb-flush-log-at-trx-commit=0 --performance-schema=0 \
    > "$MARIADB/log" 2>&1 < /dev/null &
  wait_until 30 "MariaDB does not answer: see $MARIADB/log" mariadb_answers
}

mariadb_answers() { mariadb-admin --no-defaults -S "$MARIADB/sock" ping >/dev/null 2>&1; }

make_database() {
  mariadb --no-defaults -S "$MARIADB/sock" <<SQL
create database if not exists slurm_acct_db;
create user if not exists slurm@localhost identified by 'slurm', slurm@'127.0.0.1' identified by 'slurm';
grant all on slurm_acct_db.* to slurm@localhost, slurm@'127.0.0.1';
SQL
}

start_slurmdbd() {
  cat > "$SLURM/etc/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$MUNGE/sock
CommunicationParameters=NoInAddrAny
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$DBD_PORT
SlurmUser=slurm
PidFile=$SLURM/pid/slurmdbd.pid
LogFile=$SLURM/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$MARIADB_PORT
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
CONF
  chown slurm "$SLURM/etc/slurmdbd.conf"
  chmod 600 "$SLURM/etc/slurmdbd.conf"
  is_running "$SLURM/pid/slurmdbd.pid" slurmdbd || slurmdbd < /dev/null > /dev/null 2>&1
}

slurmdbd_listens() { [ -n "$(ss -Hltn "sport = :$DBD_PORT")" ]; }

start_mariadb
make_database
start_slurmdbd
wait_until 60 "slurmdbd does not listen: see $SLURM/log/slurmdbd.log" slurmdbd_listens
