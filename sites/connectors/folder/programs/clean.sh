# Deletes the folders and events of ended jobs. Variables: folders (one per line). Prints nothing on success.

IFS='
'
set -f
home=$PWD
for parent in $(for folder in $folders; do printf '%s\n' "${folder%/*}"; done | sort -u); do
    cd -- "$parent/events" 2> /dev/null || continue
    { for folder in $folders; do printf '%s\n' "${folder##*/}"; done; echo @; ls -U; } |
        awk -F. '/^@$/ { listed = 1; next } !listed { gone[$1] = 1; next } $1 in gone { printf "%s%c", $0, 0 }' |
        xargs -0 -r rm -f --
    cd -- "$home" || exit 1
    # Batches that a cut connection left half unpacked: no batch takes an hour.
    find "$parent/staging" -mindepth 1 -maxdepth 1 -mmin +60 -exec rm -rf -- {} + 2> /dev/null
done
rm -rf -- $folders
