#!/bin/sh
# Installed under the names of programs that a submission runs, in a folder that comes first on the site's PATH. Runs
# the real program, and pauses at the armed step, so that a test can kill something exactly there.
#   gates/armed     `<step> <calls to let pass> <seconds>`, written by the test
#   gates/reached   created at the armed step
gates=${0%/*}/gates
name=${0##*/}
real=$(PATH=${PATH#*:}; command -v "$name") # PATH stays, so programs that it runs come here too

pause() { # <step>
    { read -r step skip seconds < "$gates/armed"; } 2> /dev/null && [ "$step" = "$1" ] || return 0
    echo >> "$gates/calls"
    [ "$(wc -l < "$gates/calls")" -gt "$skip" ] || return 0
    : > "$gates/reached"
    sleep "$seconds"
}

case $name:$* in
    tar:*) pause unpacking ;;
    mv:'open submitting') pause staged ;;
    mv:*' fenced') pause fencing ;;
    timeout:*' sbatch '*) pause launching ;;
    rm:*/staging/*) pause answering ;;
    sbatch:*)
        pause submitting
        said=$("$real" "$@" 2>&1)
        code=$?
        pause submitted
        printf '%s\n' "$said"
        exit "$code"
        ;;
esac
exec "$real" "$@"
