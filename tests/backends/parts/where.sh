# Sets BACKENDS (ISTHMUS_BACKENDS is another name). Sourced by up.sh and down.sh; control.py looks in the same places.

others_can_reach() { # succeeds if other users can pass through every folder down to $1
  local folder=$1
  while [ "$folder" != / ]; do
    [ -e "$folder" ] && [ $((0$(stat -c %a "$folder") & 1)) = 0 ] && return 1
    folder=$(dirname "$folder")
  done
}

CHECKOUT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
BACKENDS=${BACKENDS:-${ISTHMUS_BACKENDS:-}}
if [ -z "$BACKENDS" ]; then
  if others_can_reach "$CHECKOUT"; then BACKENDS=$CHECKOUT/.backends; else BACKENDS=/var/lib/isthmus-backends; fi
fi
export BACKENDS

require_a_folder_others_can_reach() {
  others_can_reach "$BACKENDS" && return
  echo "Jobs of an unprivileged user cannot reach $BACKENDS: choose another folder with BACKENDS=..." >&2
  exit 1
}
