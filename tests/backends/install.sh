#!/bin/bash
# Installs, as root on Debian or Ubuntu, the packages of the real systems that tests use. Skips installed ones.
set -euo pipefail
PACKAGES=(
  slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge   # the scheduler
  openssh-server iproute2                                       # access to it
  charliecloud-runtime busybox-static umoci                     # containers, and tools to build an image offline
  docker-compose                                                # checks docker-compose.yml
  maven curl                                                    # download Keycloak, and check that it is up
  chromium fonts-dejavu-core                                    # a browser to log in with
  wrk                                                           # load for the benchmarks
)

missing=()
for package in "${PACKAGES[@]}"; do
  [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} = 0 ] && exit

if [ "$(id -u)" != 0 ]; then
  echo "Install what the backends need: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi

# Packages must not start their daemons: the tests start private ones.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' > $policy
  chmod 755 $policy
  trap 'rm -f $policy' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
echo "Installing ${missing[*]}"
install() { apt-get install --yes --quiet=2 --no-install-recommends "${missing[@]}" > /dev/null; }
install || { apt-get update --quiet=2; install; }
