# Settles attempts that have been in doubt for long, by what the queue or the accounting knows of them.
# Variables: resolved (lines <folder> TAB <native id, or nothing to fence the folder>). Prints the same lines as find.sh.

IFS='
'
home=$PWD
set -f
for line in $resolved; do
    cd -- "$home" || exit 1
    folder=${line%%	*}
    native=${line#*	}
    cd -- "$folder" || exit 1
    if [ -n "$native" ]; then
        printf '%s\n' "$native" > native_id
        printf '%s\tfound\t%s\n' "$folder" "$native"
    elif mv submitting fenced 2> /dev/null; then
        find . -mindepth 1 -maxdepth 1 ! -name fenced -exec rm -rf {} +
        printf '%s\tabsent\t\n' "$folder"
    else
        printf '%s\tdoubt\t0\n' "$folder"
    fi
done
printf 'end\t\t\n'
