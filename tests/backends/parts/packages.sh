# Prints missing packages in one command that can be pasted. Sourced by up.sh.

require_root() {
  [ "$(id -u)" = 0 ] && return
  echo "The backends start system daemons: run this as root (sudo $0)." >&2
  exit 1
}

require_packages() {
  local missing=() program package
  local needs="munged:munge slurmctld:slurmctld slurmd:slurmd sbatch:slurm-client sshd:openssh-server
    ch-run:charliecloud-runtime busybox:busybox-static setpriv:util-linux ss:iproute2 mvn:maven curl:curl"
  [ "$DBD" = 0 ] || needs="$needs slurmdbd:slurmdbd mariadbd:mariadb-server"
  for pair in $needs; do
    program=${pair%:*} package=${pair#*:}
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || missing+=("$package")
  done
  ls /usr/lib/*/slurm*/jobcomp_filetxt.so >/dev/null 2>&1 || missing+=(slurm-wlm-basic-plugins)
  [ ${#missing[@]} = 0 ] && return
  echo "Install what the backends need: apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
}
