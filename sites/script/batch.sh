# From here on, the script is the same for every pod. docs/attempt-folder.md describes the files that it writes.
# It needs bash 4.4 (mapfile -d), coreutils, util-linux (setsid), and perl or python3 for the launcher.

say() { printf 'isthmus: %s\n' "$*" >&2; }

give_up() {  # <exit code> <sentence>: ends the script before it has started a container
    say "$2"
    exit "$1"
}

write_whole() {  # <file> <line>: the file appears complete or not at all
    printf '%s\n' "$2" > "$1.part" && mv -f -- "$1.part" "$1"
}

look_at_clock() { printf -v now '%(%s)T' -1; }

# --- the folder and its owner -----------------------------------------------------------------------------------------

own_the_folder() {
    local owner=
    # ln, not a redirection: a crash between creating and writing would leave an empty claim, which no batch job matches.
    write_whole "$folder/claim.$native" "$native" || give_up 125 "The folder $folder cannot be written: is the disk full?"
    ln -- "$folder/claim.$native" "$folder/claim" 2> /dev/null
    rm -f -- "$folder/claim.$native"
    read -r owner < "$folder/claim"
    # Exit code 0: the owner reports the outcome, this batch job has none.
    [[ $owner == "$native" ]] || give_up 0 "Batch job $owner already runs this pod; $native has nothing to do."
}

# --- one container ----------------------------------------------------------------------------------------------------

find_launcher() {
    local program
    if program=$(type -P perl); then
        launcher=("$program" "$folder/launch.pl")
    elif program=$(type -P python3); then
        launcher=("$program" -I "$folder/launch.py")
    fi
}

keep_gpus() {  # a container gets one thing from the batch job's environment: the scheduler's choice of devices
    local variable
    ((gpus)) || return 0
    for variable in CUDA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES ZE_AFFINITY_MASK; do
        [[ -z ${!variable:-} ]] || device_variables+=("$variable=${!variable}")
    done
}

refuse() {  # <exit code> <word> <sentence>: ends this container. Runs in the container's own process.
    printf '%s\n' "$3" >&2
    write_whole "$run/$name.reason" "$2 ${3//[[:cntrl:]]/ }"
    exit "$1"
}

prepare() {  # <container>: reads its description and lets the runtime start it. Runs in the container's own process.
    name=$1
    local described=$folder/containers/$name
    ((${#launcher[@]})) || refuse 125 LauncherMissing "This site's nodes have neither perl nor python3, one of which starts containers."
    mapfile -d '' -t argv < "$described/argv"
    { IFS= read -r -d '' image && IFS= read -r -d '' entrypoint; } < "$described/image"
    IFS= read -r -d '' workdir < "$described/workdir"
    scratch=$folder/scratch/$restart/$name
    mkdir -p -- "$scratch/home" "$scratch/tmp" || refuse 125 FolderNotWritable "The folder $scratch cannot be made: is the disk full?"
    run_container "$described"
}

start() {  # <container>
    : > "$run/$1.log"
    look_at_clock
    # Append mode: a container that truncates its own output then leaves no hole in the file.
    prepare "$1" >> "$run/$1.log" 2>&1 < /dev/null {naps}>&- &
    pids[$1]=$!
    write_whole "$run/$1.started" "$now"
    announce "$1" started -
}

record_end() {  # <container> <exit code>
    codes[$1]=$2
    # As in Kubernetes, all processes of the container end with it: they share its session.
    kill -s KILL -- "-${pids[$1]}" 2> /dev/null
    sample "$1"
    write_whole "$run/$1.ended" "$now $2"
    # On a full disk the file above is missing, but an empty file with the code in its name may still fit.
    announce "$1" ended "$2"
}

announce() {  # <container> started|ended <exit code, or ->
    : > "$events/$key.$restart.$1.$2.$now.$3"
}

is_quiet() {  # <container>: no output since the last look. It runs five times a second, so it starts no process.
    [[ $run/$1.looked -nt $run/$1.log ]]
}

sample() {  # <container>: adds a line to its index if its log has grown
    local size
    look_at_clock
    { : > "$run/$1.looked"; } 2> /dev/null  # first, so that the next look sees what is written from now on
    size=$(stat -c %s -- "$run/$1.log") || return 0
    [[ $size == "${sizes[$1]:-0}" ]] && return 0
    sizes[$1]=$size
    sampled_at[$1]=$now
    printf '%s\n' "$now $size" >> "$run/$1.index"
}

# --- several containers -----------------------------------------------------------------------------------------------

run_together() {  # <container>...: starts all, returns when all have ended
    local name
    for name; do
        [[ $stopping ]] || start "$name"
    done
    # One loop watches all containers. With five looks a second it notices an end soon, even if a signal was missed, and
    # the index, with one line per second, is exact to the second.
    while record_ended "$@"; do
        # A pause. Not by wait: if a trap interrupts it, bash forgets a child's exit code and reports -1. The pipe is empty.
        read -r -t 0.2 -u "$naps"
        forward_stop "$@"
        look_at_clock
        for name; do
            is_running "$name" && [[ ${sampled_at[$name]:-} != "$now" ]] && ! is_quiet "$name" && sample "$name"
        done
    done
}

is_running() { [[ ${pids[$1]:-} && -z ${codes[$1]:-} ]]; }

record_ended() {  # <container>...: records those that have ended; false if none runs any more
    local name code left=1
    for name; do
        is_running "$name" || continue
        if kill -0 "${pids[$name]}" 2> /dev/null; then
            left=0
        else
            wait "${pids[$name]}"
            code=$?
            record_end "$name" "$code"
        fi
    done
    return "$left"
}

forward_stop() {  # <container>...: sends TERM once, and KILL after the grace period
    [[ $stopping ]] || return 0
    look_at_clock
    if [[ -z $kill_at ]]; then
        kill_at=$((now + grace))
        signal_all TERM "$@"
    elif ((now > kill_at)); then
        signal_all KILL "$@"
    fi
}

signal_all() {  # <signal> <container>...
    local name signal=$1
    shift
    for name; do
        is_running "$name" || continue
        # A container that has not made its session yet has no process group.
        kill -s "$signal" -- "-${pids[$name]}" 2> /dev/null || kill -s "$signal" "${pids[$name]}" 2> /dev/null
    done
}

run_pod() {  # exit code: the first of the containers' codes that is not 0, in the pod's order
    local name
    for name in "${init_containers[@]}"; do
        run_together "$name"
        [[ ${codes[$name]:-143} == 0 ]] || return "${codes[$name]:-143}"
    done
    run_together "${containers[@]}"
    for name in "${containers[@]}"; do
        [[ ${codes[$name]:-143} == 0 ]] || return "${codes[$name]:-143}"
    done
}

# --- the batch job ----------------------------------------------------------------------------------------------------

native=${SLURM_JOB_ID:-${ISTHMUS_NATIVE_ID:-}}
restart=${SLURM_RESTART_COUNT:-0}
run=$folder/run/$restart
stopping= kill_at= now=
launcher=() device_variables=()
declare -A pids=() codes=() sizes=() sampled_at=()

[[ $native ]] || give_up 125 "Neither SLURM_JOB_ID nor ISTHMUS_NATIVE_ID names this batch job."
cd -- "$folder" || give_up 125 "The folder $folder does not exist."
own_the_folder
mkdir -p -- "$run" || give_up 125 "The folder $run cannot be made: is the disk full?"
trap 'stopping=1' TERM INT
exec {naps}<> <(:)
find_launcher
keep_gpus
run_pod
