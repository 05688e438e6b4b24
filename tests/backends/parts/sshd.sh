# An SSH server on loopback with its own host key and configuration: key login for one unprivileged user. Sourced by
# up.sh.
SSH=$BACKENDS/ssh SSH_PORT=$((BACKENDS_PORT + 9))

make_keys() {
  mkdir -p "$SSH"
  chmod 755 "$SSH"
  for key in hostkey id; do
    [ -f "$SSH/$key" ] || ssh-keygen -q -t ed25519 -N '' -C "isthmus-test-$key" -f "$SSH/$key"
  done
  install -m 644 "$SSH/id.pub" "$SSH/authorized_keys"
  echo "[127.0.0.1]:$SSH_PORT $(cut -d' ' -f1,2 "$SSH/hostkey.pub")" > "$SSH/known_hosts"
}

write_sshd_config() {
  cat > "$SSH/sshd_config" <<CONF
Port $SSH_PORT
ListenAddress 127.0.0.1
HostKey $SSH/hostkey
PidFile $SSH/pid
AuthorizedKeysFile $SSH/authorized_keys
StrictModes no
AllowUsers $HPC_USER
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PermitRootLogin no
MaxSessions 10
MaxStartups 200:30:400
AllowTcpForwarding yes
SetEnv SLURM_CONF=$SLURM_CONF
Subsystem sftp internal-sftp
CONF
}

make_keys
write_sshd_config
mkdir -p /run/sshd
# If this script runs over SSH itself, sshd would pass that login's SSH_* variables to every session.
is_running "$SSH/pid" sshd || env -i PATH="$PATH" /usr/sbin/sshd -f "$SSH/sshd_config" -E "$SSH/log"
wait_until 10 "sshd does not listen on port $SSH_PORT: see $SSH/log" is_running "$SSH/pid" sshd
