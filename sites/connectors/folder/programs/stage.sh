# Unpacks the tar stream on stdin and launches each job once. docs/attempt-folder.md explains the order of the steps.
# Variables: parent (the folder of attempts), random, keys (one per line), lanes (launches at a time). The function
# launch() prints the batch job's native id.
# Prints records, NUL after each: <key> TAB <word> TAB <exit code> TAB <text>. The key `all` means every job.

# Several lanes write to one pipe: a record is short enough to be written in one piece.
answer() { printf '%s\t%s\t%s\t%.2000s\000' "$1" "$2" "$3" "$4"; }

answer_all() {
    answer all "$1" 1 "$2"
    exit 0
}

native_id_in() { # <output>: sets $native to its last line that looks like an id; other lines are warnings
    native=
    set -f
    for line in $1; do
        case $line in
            *[!0-9A-Za-z.\;_-]*) ;;
            [0-9]*) native=${line%%;*} ;;
        esac
    done
    set +f
}

fence() { # <open|submitting>: this attempt will never run, so the pod's files are deleted
    mv "$1" fenced && find . -mindepth 1 -maxdepth 1 ! -name fenced -exec rm -rf {} +
}

settle() { # <key> <exit code> <output>: distinguishes a launch, a refusal and a doubt
    native_id_in "$3"
    if [ "$2" -eq 0 ] && [ -n "$native" ]; then
        printf '%s\n' "$native" > native_id
        answer "$1" started 0 "$native"
        return
    fi
    case $2:$3 in
        0:* | 124:* | 12[89]:* | 1[3-9]?:* | *'timed out'* | *'Zero Bytes'* | *'end/recv'* | *'onnection reset'*)
            # Slurm may have taken the job. The next `find` asks the queue.
            answer "$1" doubt "$2" "$3"
            ;;
        *)
            fence submitting
            answer "$1" refused "$2" "$3"
            case $3 in *'nable to contact slurm controller'*) silent=$3 ;; esac
            ;;
    esac
}

IFS='
'
silent=
complaint=$(mkdir -p -- "$parent/staging" "$parent/events" 2>&1) || answer_all unwritable "$complaint"
cd -- "$parent" && parent=$PWD
staging=$parent/staging/$random
trap 'rm -rf -- "$staging"' EXIT
trap 'exit 129' HUP INT TERM PIPE
complaint=$(mkdir -- "$staging" 2>&1) || answer_all unwritable "$complaint"
complaint=$(tar -xpf - -C "$staging" 2>&1) || case $complaint in
    *'ame too long'* | *'nvalid argument'* | *'llegal byte'*) ;; # caused by one pod's file: the other jobs can go on
    *) answer_all unwritable "$complaint (is the disk full, or a quota used up?)" ;;
esac
# tar accepts a stream that was cut between two files, but then the last file, `whole`, is missing.
[ -e "$staging/whole" ] || answer_all unwritable 'the connection was cut before all files had arrived'
rm -f -- "$staging/whole"
for key in $keys; do
    case $complaint in
        *"$key/"*)
            answer "$key" unstaged 1 "$complaint"
            rm -rf -- "${staging:?}/$key"
            ;;
    esac
done
[ -z "$(ls "$staging")" ] || mv -t "$parent" -- "$staging"/* 2> /dev/null

launch_lane() { # <number>: launches every $lanes-th job, one after the other
    turn=0
    for key in $keys; do
        turn=$((turn % lanes + 1))
        [ "$turn" -eq "$1" ] && launch_one "$key"
    done
}

launch_one() { # <key>
    if [ -e "$staging/$1" ]; then
        answer "$1" known 0 ''
    elif ! cd -- "$parent/$1" 2> /dev/null; then
        return
    elif [ -n "$silent" ]; then
        fence open 2> /dev/null && answer "$1" unlaunched 1 "$silent"
    elif mv open submitting 2> /dev/null; then
        output=$(launch 2>&1)
        settle "$1" "$?" "$output"
    else
        answer "$1" known 0 ''
    fi
}

lane=0
while [ "$lane" -lt "$lanes" ]; do
    lane=$((lane + 1))
    launch_lane "$lane" &
done
wait
answer end '' 0 ''
