#!/bin/bash
# Starts the real systems that tests talk to: Slurm with four nodes, an SSH server, a container image, Keycloak. Loopback only.
# It may be run repeatedly: running processes are left alone. down.sh stops everything.
#
# Environment:
#   BACKENDS        the folder for everything (default: .backends in this checkout, or /var/lib/isthmus-backends if
#                   other users cannot reach the checkout); ISTHMUS_BACKENDS is another name for it
#   HPC_USER        the unprivileged account that runs jobs, created if missing (hpcuser)
#   BACKENDS_PORT   the first of ten ports (24810)
#   DBD=1           with slurmdbd, so that sacct answers (needs slurmdbd and mariadb-server)
#   MINJOBAGE       seconds for which slurmctld remembers a finished job (300)
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$HERE/parts/where.sh"
source "$HERE/parts/processes.sh"
source "$HERE/parts/packages.sh"
export HPC_USER=${HPC_USER:-hpcuser} BACKENDS_PORT=${BACKENDS_PORT:-24810} DBD=${DBD:-0}

require_root
require_packages
mkdir -p "$BACKENDS"
chmod 755 "$BACKENDS"
require_a_folder_others_can_reach

# `*` means no password. `!` would lock the account, and sshd refuses a locked account even with a key.
id "$HPC_USER" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash --password '*' "$HPC_USER"

source "$HERE/parts/keycloak.sh"  # first, since it takes longest; the script waits for it at the end
source "$HERE/parts/image.sh"
source "$HERE/parts/munge.sh"
[ "$DBD" = 0 ] || source "$HERE/parts/slurmdbd.sh"
source "$HERE/parts/slurm.sh"
source "$HERE/parts/sshd.sh"
wait_until 90 "Keycloak does not answer: see $KEYCLOAK/log" keycloak_answers

cat > "$BACKENDS/env.json.new" <<JSON
{
  "slurm_conf": "$SLURM_CONF",
  "ssh": {
    "host": "127.0.0.1", "port": $SSH_PORT, "user": "$HPC_USER",
    "key": "$BACKENDS/ssh/id", "known_hosts": "$BACKENDS/ssh/known_hosts"
  },
  "keycloak": "$KEYCLOAK_URL",
  "images": "$BACKENDS/images",
  "user": "$HPC_USER"
}
JSON
chmod 644 "$BACKENDS/env.json.new"
mv "$BACKENDS/env.json.new" "$BACKENDS/env.json"
echo "Backends are up; $BACKENDS/env.json says where."
