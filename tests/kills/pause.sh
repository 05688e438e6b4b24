#!/bin/sh
# Installed under the names of programs that submitting uses, in a folder that the site puts first on PATH. Runs the
# real one, and pauses at the armed step, so that a test can strike exactly there.
#   gates/armed     `<step> <calls to let pass> <seconds>`, the test's wish
#   gates/reached   made when the step has come
gates=${0%/*}/gates
name=${0##*/}
real=$(PATH=${PATH#*:}; command -v "$name") # and what it runs itself comes by here again

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
