# charliecloud_root.sh REASON IMAGE DESCRIBED SCRATCH VOLUMES WORKDIR COMMAND...
# Builds a container's root at SCRATCH/root and runs COMMAND OPTIONS SCRATCH/root -- ARGV. ch-run can mount only onto paths
# that exist in the image, but pods mount anywhere. So the root is a small tmpfs: it has real directories on the way to each
# mount, and shows all other entries of the image read-only. The script runs as root of its own user and mount namespace,
# which ends with it.
set -u +o posix
umask 022
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
shopt -s dotglob nullglob

reason=$1 image=$2 described=$3 scratch=$4 volumes=$5 workdir=$6
shift 6
root=$scratch/root
paths=() sources=() modes=() options=() needed=()

refuse() {  # <exit code> <word> <sentence>
    printf '%s\n' "$3" >&2
    printf '%s\n' "$2 ${3//[[:cntrl:]]/ }" > "$reason"
    exit "$1"
}

bind() {  # <source> <target> ro|rw
    mount --rbind -- "$1" "$2" || return
    [[ $3 == ro ]] || return 0
    local now
    # This namespace locks a mount's other options, so they must be repeated.
    now=$(findmnt -n -r -o VFS-OPTIONS --mountpoint "$2" | tail -n 1)
    mount -o "remount,bind,ro,${now#r?,}" -- "$2"
}

read_mounts() {
    local fields index
    mapfile -d '' -t fields < "$described/mounts"
    for ((index = 0; index < ${#fields[@]}; index += 4)); do
        find_source "${fields[index]}" "${fields[index + 2]}"
        resolve "$image" "${fields[index + 1]}"
        sources+=("$found")
        paths+=("$resolved")
        modes+=("${fields[index + 3]}")
    done
}

find_needed() {  # sets $needed to the files onto which ch-run mounts and which the image lacks
    local path
    for path in /etc/passwd /etc/group; do
        [[ -e $image$path ]] || needed+=("$path")
    done
}

leads_to_mount() {  # <path>
    local path
    for path in "${paths[@]}" "${needed[@]}"; do
        [[ $path == "$1"/* ]] && return
    done
    return 1
}

show_image() {  # <directory of the image, empty for its root>
    local entry path
    for entry in "$scratch/image$1"/*; do
        path=$1/${entry##*/}
        case $path in /dev | /proc | /sys | /tmp) continue ;; esac
        if [[ -L $entry ]]; then
            cp -P -- "$entry" "$root$path"
        elif [[ -d $entry ]] && leads_to_mount "$path"; then
            mkdir -- "$root$path" && show_image "$path"
        else
            make_target "$entry" "$root$path" && mount --rbind -- "$entry" "$root$path"
        fi || refuse 125 MountFailed "The image's $path cannot be shown in the container."
    done
}

make_target() {  # <source> <target>: makes a file or folder, like the source, to mount onto
    if [[ -d $1 ]]; then
        mkdir -p -- "$2"
    else
        mkdir -p -- "${2%/*}" && { [[ -e $2 ]] || : > "$2"; }
    fi
}

mount_volumes() {
    local index path
    for index in "${!paths[@]}"; do
        path=${paths[index]}
        if [[ $path == /dev/* ]]; then
            # ch-run mounts the node's /dev over ours, and then these binds over it.
            options+=("--bind=${sources[index]}:$path")
            continue
        fi
        # Resolved again: an outer volume may contain symlinks, which must not lead out of this root.
        resolve "$root" "$path"
        make_target "${sources[index]}" "$root$resolved" && bind "${sources[index]}" "$root$resolved" "${modes[index]}" ||
            refuse 125 MountFailed "A volume cannot be mounted at $path."
    done
}

copy_image_environment() {  # without the variables in ch-run's own environment, which the copy would override
    local pair line
    local -A set_by_pod=()
    while IFS= read -r -d '' pair; do set_by_pod[${pair%%=*}]=1; done < "$described/env"
    while IFS= read -r line || [[ $line ]]; do
        [[ $line == ?*=* && -z ${set_by_pod[${line%%=*}]:-} ]] && printf '%s\n' "$line"
    done < <(cat -- "$image/ch/environment" 2> /dev/null) > "$scratch/image_environment"
}

mkdir -p -- "$scratch/image" "$root" || refuse 125 FolderNotWritable "The folder $scratch cannot be written."
bind "$image" "$scratch/image" ro && mount -t tmpfs -o mode=755 isthmus "$root" ||
    refuse 125 MountFailed "This node does not let an account mount in a namespace of its own; tell the site's operator."
read_mounts
find_needed
show_image ''
for path in "${needed[@]}"; do make_target /dev/null "$root$path"; done
mkdir -p -- "$root"/{dev,proc,sys,tmp} && bind "$scratch/tmp" "$root/tmp" rw || refuse 125 MountFailed "The container's /tmp cannot be made."
mount_volumes
resolve "$root" "$workdir"
[[ -d $root$resolved ]] || refuse 128 WorkingDirMissing "The working directory $workdir is not in the container."
copy_image_environment
mapfile -d '' -t argv < "$described/argv"
exec "$@" "${options[@]}" "$root" -- "${argv[@]}"
