# Starts local_job.sh (job.sh) in a session of its own, so that it outlives us and every worker, and prints its native id.
# Variables: slots.
launch() {
    # Checked before the start: if one of these were missing at the end, the job's processes would stay alive unnoticed.
    for program in bash awk cat cut find flock mkdir mv setsid sleep; do
        command -v "$program" > /dev/null || { echo "it has no $program"; exit 1; }
    done
    setsid ./local_job.sh "$slots" < /dev/null >> batch.out 2>&1 &
    pid=$!
    IFS= read -r boot < /proc/sys/kernel/random/boot_id
    IFS= read -r line < "/proc/$pid/stat" || exit 1
    IFS=' '
    set -f
    # shellcheck disable=SC2086  # split on purpose; the command's name before `)` may hold blanks
    set -- ${line##*) }
    echo "$pid.${20}.$boot"
}
