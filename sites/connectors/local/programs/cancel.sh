# Ends local jobs. Variables: jobs (lines `<native id> <key>`). A process is ours only if its start time and boot match the
# native id and its working folder is that of the key.

IFS='
'
IFS= read -r boot < /proc/sys/kernel/random/boot_id
for job in $jobs; do
    native=${job% *}
    pid=${native%%.*}
    started=${native#*.}
    [ "${started#*.}" = "$boot" ] || continue
    case $(readlink "/proc/$pid/cwd") in */"${job#* }" | */"${job#* } (deleted)") ;; *) continue ;; esac
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
