# Reports on batch jobs. Stdin: $recorded bytes of event names, then lines <native id> TAB <key> TAB <folder>.
# Variables: token, recorded, parents, most_events, most_outcomes, most_details, accounting (yes|no).

forget_events "$recorded"
refs=$(cat)
who=$(id -u)
read -r began rest < /proc/uptime
queue=$(timeout 60 squeue -h -a -t all -u "$who" -o '%A|%T|%S|%e|%D|%C|%b|%r|%j')
code=$?
read -r ended rest < /proc/uptime
section took 0
echo "$began $ended"
section queue "$code"
[ "$code" -eq 0 ] || { section end 0; exit 0; }
printf '%s\n' "$queue"

# The jobs that are no longer live in the queue: <native id> TAB <key> TAB <folder> TAB <queue|gone>. `queue`: the queue
# knows how the job ended; `gone`: the queue no longer knows the job.
ended=$(printf '%s\n@\n%s\n' "$queue" "$refs" | awk -v most="$most_outcomes" '
    BEGIN { FS = "|"; split("COMPLETED FAILED CANCELLED TIMEOUT DEADLINE OUT_OF_MEMORY NODE_FAIL BOOT_FAIL PREEMPTED " \
                            "REVOKED LAUNCH_FAILED", names, " "); for (i in names) end[names[i]] = 1 }
    /^@$/ { FS = "\t"; listed = 1; next }
    !listed { state[$1] = $2; name[$1] = $NF; next }
    NF == 3 {
        here = ($1 in state) && name[$1] == "isthmus-" $2
        if (here && !(state[$1] in end)) next
        # First the jobs whose end the queue knows: the others may be lost, and must not use up the limit in every poll.
        if (!here) gone[++others] = $0
        else if (shown++ < most) print $0 "\tqueue"
    }
    END { for (i = 1; i <= others && shown++ < most; i++) print gone[i] "\tgone" }')
section ended 0
printf '%s\n' "$ended"

code=0
ids=$(printf '%s\n' "$ended" | cut -f 1 | paste -s -d , -)
if [ -n "$ids" ] && [ "$accounting" = yes ]; then
    rows=$(timeout 60 sacct -X -n -P -j "$ids" -o JobIDRaw,State,ExitCode,Start,End,NNodes,NCPUS,AllocTRES,JobName 2>&1)
    code=$?
    section accounting "$code"
    printf '%s\n' "$rows"
fi
if [ -n "$ids" ] && { [ "$accounting" = no ] || [ "$code" -ne 0 ]; }; then
    section details 0
    for id in $(printf '%s\n' "$ended" | awk -F '\t' -v most="$most_details" '$4 == "queue" && n++ < most { print $1 }'); do
        timeout 10 scontrol -o show job "$id" 2> /dev/null
    done
fi

list_events
section outcomes 0
IFS='
'
set -f
for line in $ended; do
    set +f
    line=${line#*	}
    key=${line%%	*} line=${line#*	}
    show_outcome "$key" "${line%	*}"
done
section who 0
echo "$who"
section end 0
