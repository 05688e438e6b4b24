# Daemons by pid file. After a reboot a pid may belong to another program, so the name must match. Sourced by up.sh
# and down.sh.

is_running() { # PIDFILE PROGRAM
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ] || return 1
  # A zombie has no arguments. Without a process that reaps orphans, `kill -0` would report it as alive for ever.
  [ -n "$(tr -d '\0' 2>/dev/null < "/proc/$pid/cmdline")" ]
}

stop() { # PIDFILE PROGRAM
  is_running "$1" "$2" || return 0
  local pid
  pid=$(cat "$1")
  kill "$pid" || return 0
  for _ in $(seq 100); do is_running "$1" "$2" || return 0; sleep 0.1; done
  kill -9 "$pid"
}

wait_until() { # SECONDS WHAT COMMAND...: prints WHAT and fails if COMMAND does not succeed in time
  local tries=$(($1 * 10)) what=$2
  shift 2
  for _ in $(seq "$tries"); do "$@" && return 0; sleep 0.1; done
  echo "$what" >&2
  return 1
}
