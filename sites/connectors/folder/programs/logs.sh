# Reads pieces of containers' files. Variables: wanted (lines <offset> TAB <limit> TAB <file name> TAB <folder>).
# Prints for each a line, the number of bytes or `none`, and then exactly that many bytes. The last line is `end`.

latest_run() { # <folder>: sets $latest to the number of its latest run, or to nothing
    latest=
    for run in "$1"/run/*; do
        number=${run##*/}
        case $number in *[!0-9]* | '') continue ;; esac
        if [ -z "$latest" ] || [ "$number" -gt "$latest" ]; then latest=$number; fi
    done
}

set -f
IFS='
'
for line in $wanted; do
    set +f
    offset=${line%%	*} line=${line#*	}
    limit=${line%%	*} line=${line#*	}
    name=${line%%	*} folder=${line#*	}
    latest_run "$folder"
    file=$folder/run/$latest/$name
    if [ -z "$latest" ] || ! size=$(stat -L -c %s -- "$file" 2> /dev/null); then
        echo none
        continue
    fi
    count=$((size > offset ? size - offset : 0))
    [ "$count" -le "$limit" ] || count=$limit
    printf '%s\n' "$count"
    [ "$count" -eq 0 ] || dd if="$file" iflag=skip_bytes,count_bytes skip="$offset" count="$count" bs=65536 status=none
done
echo end
