# Reports on local jobs. Stdin: $recorded bytes of event names, then lines <native id> TAB <key> TAB <folder>.
# Variables: token, recorded, parents, most_events, most_outcomes.
# Section jobs: <key> TAB <alive|gone|rebooted|unknown> TAB <request> TAB <batch.started> TAB <batch.ended>.

first_line() { # <file>: sets $line, empty if there is no file
    { IFS= read -r line < "$1"; } 2> /dev/null || line=
}

state_of() { # <native id>: sets $state
    state=gone
    pid=${1%%.*}
    started=${1#*.}
    [ "${started#*.}" = "$boot" ] || { state=rebooted; return; }
    first_line "/proc/$pid/stat"
    set -f
    IFS=' '
    # shellcheck disable=SC2086  # split on purpose; the command's name before `)` may hold blanks
    set -- ${line##*) }
    set +f
    [ "$#" -ge 20 ] && [ "$1" != Z ] && [ "${20}" = "${started%%.*}" ] && state=alive
}

forget_events "$recorded"
refs=$(cat)
list_events
first_line /proc/sys/kernel/random/boot_id
boot=$line ended= shown=0
section jobs 0
newline='
'
IFS=$newline
set -f
for ref in $refs; do
    set +f
    native=${ref%%	*} ref=${ref#*	}
    key=${ref%%	*} folder=${ref#*	}
    state_of "$native"
    IFS=$newline
    # Read after state_of: a job that is gone by then has already recorded its end.
    first_line "$folder/batch.ended"
    end=$line
    if [ "$state" != alive ] || [ -n "$end" ]; then
        [ "$shown" -lt "$most_outcomes" ] || continue
        shown=$((shown + 1))
        ended=$ended$newline$key$newline$folder
    fi
    first_line "$folder/batch.started"
    begun=$line
    first_line "$folder/request"
    request=$line
    [ -d "$folder" ] || state=unknown
    printf '%s\t%s\t%s\t%s\t%s\n' "$key" "$state" "$request" "$begun" "$end"
done
section outcomes 0
set -f
# shellcheck disable=SC2086  # pairs of lines
set -- $ended
set +f
while [ "$#" -ge 2 ]; do
    show_outcome "$1" "$2"
    shift 2
done
section end 0
