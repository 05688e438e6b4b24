# Looks for batch jobs by name. Variables: names (separated by commas), accounting (yes|no).
# Prints lines <native id>|<name>; the last is `end|yes`, or `end|no` if the accounting did not answer.
timeout 60 squeue -h -a -t all -u "$(id -u)" -n "$names" -o '%A|%j' || exit 1
both_answered=yes
if [ "$accounting" = yes ]; then
    rows=$(timeout 60 sacct -X -n -P --name="$names" -S now-7days -o JobIDRaw,JobName 2>&1) || case $rows in
        *'accounting storage is disabled'*) rows= ;;
        *) both_answered=no rows= ;;
    esac
    printf '%s\n' "$rows"
fi
printf 'end|%s\n' "$both_answered"
