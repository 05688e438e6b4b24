#!/bin/bash
# One job of the local connector, from its wait for a slot to its end. Started in its own session, in its attempt folder:
# local_job.sh <slots>. Beside it lies `request`: <cpus> <gpus> <time limit, or 0> <seconds between TERM and KILL>.
# Writes native_id, batch.started `<epoch>` and batch.ended `<epoch> <exit code> <word>`, the latter followed by the pids
# that could not be killed, if any; docs/attempt-folder.md. What it needs to find is listed in local_launch.sh.
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

name_ourselves() { # pid, its start time and the boot: no later process can be taken for this one
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

take_slot() { # those who wait stand in line for `queue`; only the first of them looks for a slot
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

stop() { # <word>: TERM lets the script end its containers and write down how
    [[ $stopped ]] && return
    stopped=$1
    [[ $child ]] || return
    kill_at=$((SECONDS + grace + 5))
    # Now, while each is still the child of another: what escapes later is known by its session.
    sessions=$(sessions_below "$child")
    kill -s TERM "$child"
}

sessions_below() { # <pid>: the sessions of that process and of all that descend from it, on one line
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

kill_the_rest() { # and leave the pids of those that live on in `left`; most often there is nobody
    local tries
    for ((tries = 0; tries < 30; tries++)); do
        left=$(list_the_rest)
        [[ $left ]] || return
        # The shell's own kill: procps, which has the program, is not on every host. Why it fails for one is no matter
        # here: whoever has ended meanwhile is not listed again, and whoever has not is told by `finish`.
        # shellcheck disable=SC2086  # split on purpose
        kill -s KILL $left 2> /dev/null
        sleep 0.1
    done
}

list_the_rest() { # on one line: who is in the sessions that were there when we began to stop, or works in our folder
    {
        cat /proc/[0-9]*/stat 2> /dev/null | awk -v sessions="$sessions" '
            BEGIN { n = split(sessions, list, " "); for (i = 1; i <= n; i++) ours[list[i]] = 1 }
            { pid = $1; sub(/^.*\) /, ""); if ($1 != "Z" && $4 in ours) print pid }'
        find /proc/[0-9]*/cwd -maxdepth 0 -lname "$(pwd -P)/*" 2> /dev/null | cut -d / -f 3
    } | awk '!seen[$0]++ { printf "%s%s", separator, $0; separator = " " }'
}

watch() { # until the script has ended
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
# Fenced while it waited, or cleaned away: it is not to run any more.
[[ -e submitting ]] || exit 0
SECONDS=0
printf -v now '%(%s)T' -1
write_whole batch.started "$now"
# A session of its own, so that ours is never among those to kill.
ISTHMUS_NATIVE_ID=$native setsid ./script 8>&- 9>&- &
child=$!
watch
kill_the_rest
case $stopped in
    Cancelled) finish 143 Cancelled ;;
    DeadlineExceeded) finish 124 DeadlineExceeded ;;
    *) finish "$code" Ended ;;
esac
