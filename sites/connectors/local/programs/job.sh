#!/bin/bash
# Runs one job of the local connector, from its wait for a slot to its end: local_job.sh <slots>. It runs in a session of
# its own, in its attempt folder. It reads `request`: <cpus> <gpus> <time limit, or 0> <seconds between TERM and KILL>.
# It writes native_id, batch.started `<epoch>` and batch.ended `<epoch> <exit code> <word>`; the pids that it could not
# kill, if any, follow the word (docs/attempt-folder.md). launch.sh lists the programs that it needs.
set -u
umask 077
export LC_ALL=C
slots=$1 parent=${PWD%/*} stopped='' child='' sessions='' left=''
read -r _ _ limit grace < request

write_whole() { printf '%s\n' "$2" > "$1.part" && mv -f -- "$1.part" "$1"; }

finish() { # <exit code> <word>
    printf -v now '%(%s)T' -1
    write_whole batch.ended "$now $1 $2${left:+ $left}"
    exit 0
}

name_ourselves() { # sets $native to pid, start time and boot id, which no later process can share, and stores it
    local stat boot
    read -r stat < "/proc/$$/stat"
    read -r boot < /proc/sys/kernel/random/boot_id
    set -f
    # shellcheck disable=SC2086  # split on purpose; the command's name before `)` may hold blanks
    set -- ${stat##*) }
    set +f
    native=$$.${20}.$boot
    write_whole native_id "$native"
}

take_slot() { # waiting jobs queue for the lock on `queue`; its holder alone looks for a slot
    local number
    exec 8> "$parent/slots/queue"
    flock 8 &
    wait "$!"
    until [[ $stopped ]]; do
        for ((number = 1; number <= slots; number++)); do
            exec 9> "$parent/slots/$number"
            flock -n 9 && break 2
        done
        sleep 0.1 &
        wait "$!"
    done
    exec 8>&-
}

stop() { # <word>: sends TERM, so that the script ends its containers and records their exit codes
    [[ $stopped ]] && return
    stopped=$1
    [[ $child ]] || return
    kill_at=$((SECONDS + grace + 5))
    # Collected now, while every process still has its parent. A process that escapes later keeps its session.
    sessions=$(sessions_below "$child")
    kill -s TERM "$child"
}

sessions_below() { # <pid>: prints the sessions of that process and of its descendants, on one line
    cat /proc/[0-9]*/stat 2> /dev/null | awk -v root="$1" '
        { pid = $1; sub(/^.*\) /, ""); parent[pid] = $2; session[pid] = $4 }
        END {
            below[root] = 1
            do {
                more = 0
                for (pid in parent) if (!(pid in below) && (parent[pid] in below)) more = below[pid] = 1
            } while (more)
            for (pid in below) if (!seen[session[pid]]++) printf "%s ", session[pid]
        }'
}

kill_the_rest() { # kills all processes of the job; sets $left to the pids of those that stay alive, mostly none
    local tries
    for ((tries = 0; tries < 30; tries++)); do
        left=$(list_the_rest)
        [[ $left ]] || return
        # The shell's own kill, because not every host has the program. Its errors do not matter: a process that has
        # ended is not listed again, and `finish` records one that has not.
        # shellcheck disable=SC2086  # split on purpose
        kill -s KILL $left 2> /dev/null
        sleep 0.1
    done
}

list_the_rest() { # prints, on one line, the pids in the sessions collected by `stop`, or with a working folder in ours
    {
        cat /proc/[0-9]*/stat 2> /dev/null | awk -v sessions="$sessions" '
            BEGIN { n = split(sessions, list, " "); for (i = 1; i <= n; i++) ours[list[i]] = 1 }
            { pid = $1; sub(/^.*\) /, ""); if ($1 != "Z" && $4 in ours) print pid }'
        find /proc/[0-9]*/cwd -maxdepth 0 -lname "$(pwd -P)/*" 2> /dev/null | cut -d / -f 3
    } | awk '!seen[$0]++ { printf "%s%s", separator, $0; separator = " " }'
}

watch() { # waits for the end of the script, ends it at its time limit, and sets $code
    local tick=
    while kill -0 "$child" 2> /dev/null; do
        kill -0 "${tick:-$$}" 2> /dev/null && [[ $tick ]] || { sleep 1 & tick=$!; }
        wait -n "$child" "$tick"
        ((limit == 0 || SECONDS < limit)) || stop DeadlineExceeded
        [[ -z $stopped ]] || ((SECONDS < kill_at)) || kill_the_rest
    done
    wait "$child"
    code=$?
    [[ -z $tick ]] || kill "$tick" 2> /dev/null
}

trap 'stop Cancelled' TERM INT
trap '' HUP
mkdir -p -- "$parent/slots"
name_ourselves
take_slot
[[ -z $stopped ]] || finish 143 "$stopped"
# The folder was fenced or deleted during the wait: the job must not run.
[[ -e submitting ]] || exit 0
SECONDS=0
printf -v now '%(%s)T' -1
write_whole batch.started "$now"
# A session of its own, so that `kill_the_rest` never kills our session.
ISTHMUS_NATIVE_ID=$native setsid ./script 8>&- 9>&- &
child=$!
watch
kill_the_rest
case $stopped in
    Cancelled) finish 143 Cancelled ;;
    DeadlineExceeded) finish 124 DeadlineExceeded ;;
    *) finish "$code" Ended ;;
esac
