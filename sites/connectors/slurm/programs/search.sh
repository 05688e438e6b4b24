# Look for batch jobs by name. Given: names (separated by commas), accounting (yes|no).
# Answers lines <native id>|<name>; the last is `end|<yes, or no where the accounting gave no answer>`.
timeout 60 squeue -h -a -t all -u "$(id -u)" -n "$names" -o '%A|%j' || exit 1
asked=yes
if [ "$accounting" = yes ]; then
    rows=$(timeout 60 sacct -X -n -P --name="$names" -S now-7days -o JobIDRaw,JobName 2>&1) || case $rows in
        *'accounting storage is disabled'*) rows= ;;
        *) asked=no rows= ;;
    esac
    printf '%s\n' "$rows"
fi
printf 'end|%s\n' "$asked"
