# The parts of a poll that all schedulers share. Variables: token, which starts the header line of each section.

section() { printf '\n%s %s %s\n' "$token" "$1" "$2"; } # <name> <exit code of the command whose output follows>

forget_events() { # <bytes>: deletes the events that this many bytes of stdin name, NUL after each
    head -c "$1" | xargs -0 -r rm -f --
}

list_events() { # of $parents, one per line
    section events 0
    set -f
    for parent in $parents; do
        printf '%s/\n' "$parent"
        ls -U -- "$parent/events" 2> /dev/null | head -n "$most_events"
    done
    set +f
}

last_line_of() { # <file>: sets $last to the last non-empty line of its first twenty; we never read a whole output
    last= count=0
    while [ "$count" -lt 20 ] && IFS= read -r line; do
        count=$((count + 1))
        [ -z "$line" ] || last=$line
    done 2> /dev/null < "$1"
}

show_outcome() { # <key> <folder>: prints every outcome file, without starting a process
    for file in "$2"/containers/*/argv; do
        [ -e "$file" ] || continue
        file=${file%/argv}
        printf '%s\t0\t%s\tstaged\t\n' "$1" "${file##*/}"
    done
    for file in "$2"/run/*/*.started "$2"/run/*/*.ended "$2"/run/*/*.reason; do
        { IFS= read -r line < "$file"; } 2> /dev/null || continue
        run=${file%/*}
        name=${file##*/}
        printf '%s\t%s\t%s\t%s\t%s\n' "$1" "${run##*/}" "${name%.*}" "${name##*.}" "$line"
    done
    [ ! -s "$2/batch.out" ] || { last_line_of "$2/batch.out"; printf '%s\t0\t-\tsaid\t%s\n' "$1" "$last"; }
}
