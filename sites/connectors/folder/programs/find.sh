# Settles attempts whose launch was not answered. Variables: random, folders (one per line).
# Prints for each folder: <folder> TAB <found|absent|doubt|stuck> TAB <native id, or seconds in doubt>.

answer() { printf '%s\t%s\t%s\n' "$1" "$2" "$3"; }

read_native_id() { # sets $native; only a line that ends with a newline counts, since others are half written
    native=
    { IFS= read -r native < native_id || IFS= read -r native < claim; } 2> /dev/null && [ -n "$native" ]
}

in_doubt_for() { # prints the seconds since the last rename in this folder, by the clock of its file system
    : > "$staging/clock"
    echo $(($(stat -c %Y "$staging/clock") - $(stat -c %Y .)))
}

settle() {
    if mv open fenced 2> /dev/null; then
        find . -mindepth 1 -maxdepth 1 ! -name fenced -exec rm -rf {} +
        answer "$1" absent ''
    elif [ -e fenced ]; then
        answer "$1" absent ''
    elif read_native_id; then
        answer "$1" found "$native"
    elif [ -e submitting ]; then
        answer "$1" doubt "$(in_doubt_for)"
    else
        answer "$1" stuck ''
    fi
}

fence_the_missing() { # <folder>; if the folder has arrived in the meantime, the rename fails, since it is never empty
    mkdir -p -- "$staging/${1##*/}" && : > "$staging/${1##*/}/fenced" && mv -T -- "$staging/${1##*/}" "$1"
}

IFS='
'
home=$PWD
set -f
for folder in $folders; do
    cd -- "$home" || exit 1
    mkdir -p -- "${folder%/*}/staging/$random" || exit 1
    staging=$(cd -- "${folder%/*}/staging/$random" && pwd) || exit 1
    if [ ! -d "$folder" ] && fence_the_missing "$folder" 2> /dev/null; then
        answer "$folder" absent ''
    elif cd -- "$folder"; then
        settle "$folder"
    else
        answer "$folder" stuck ''
    fi
    rm -rf -- "${staging:?}"
done
answer end '' ''
