# Finds the volumes of a container at the site, for the runtimes that can mount.

resolve() {  # <root> <path>: follows symlinks as a process with this root does, and sets $resolved
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

find_source() {  # <volume> <sub path>: sets $found, a path inside the volume even if a container left symlinks there
    resolve "$volumes/$1" "$2"
    found=$volumes/$1$resolved
    # As in Kubernetes, a sub path that does not exist becomes an empty directory.
    [[ -e $found ]] || mkdir -p -- "$found"
}
