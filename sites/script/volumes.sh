# Where the volumes of a container lie at the site. Shared by the runtimes that can mount.

resolve() {  # <root> <path>: sets $resolved to the path that symlinks lead to, as seen by a process that has this root
    local rest=$2 part target hops=0
    resolved=
    while [[ $rest ]]; do
        part=${rest%%/*}
        [[ $rest == */* ]] && rest=${rest#*/} || rest=
        case $part in
            '' | .) continue ;;
            ..) resolved=${resolved%/*} ;;
            *)
                if [[ -L $1$resolved/$part ]] && ((hops++ < 40)); then
                    target=$(readlink -n -- "$1$resolved/$part"; printf .)
                    [[ $target == /* ]] && resolved=
                    rest=${target%.}/$rest
                else
                    resolved+=/$part
                fi
                ;;
        esac
    done
}

find_source() {  # <volume> <sub path>: sets $found, which a symlink that a container left there cannot lead out of the volume
    resolve "$volumes/$1" "$2"
    found=$volumes/$1$resolved
    # As in Kubernetes, a sub path that is not there yet is an empty directory.
    [[ -e $found ]] || mkdir -p -- "$found"
}
