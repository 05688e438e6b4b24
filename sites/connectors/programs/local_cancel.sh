# End local jobs. Given: natives (one a line). Only a process that started when ours did, in this boot, is ours.

IFS='
'
IFS= read -r boot < /proc/sys/kernel/random/boot_id
for native in $natives; do
    pid=${native%%.*}
    started=${native#*.}
    [ "${started#*.}" = "$boot" ] || continue
    { IFS= read -r line < "/proc/$pid/stat"; } 2> /dev/null || continue
    IFS=' '
    set -f
    # shellcheck disable=SC2086  # split on purpose; the command's name before `)` may hold blanks
    set -- ${line##*) }
    set +f
    [ "$#" -ge 20 ] && [ "${20}" = "${started%%.*}" ] && kill -s TERM "$pid" 2> /dev/null
    IFS='
'
done
exit 0
