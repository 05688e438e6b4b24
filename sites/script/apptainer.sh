# Runtimes "apptainer" and "singularity": the same program under two names.

run_container() {  # <folder that describes the container>
    local program place verb=exec volumes=$folder/volumes options=() found resolved
    local prefix=${runtime_kind^^}
    program=$(type -P "$runtime") || refuse 125 RuntimeMissing "The program $runtime is not on the node $HOSTNAME; tell the site's operator."
    find_image
    add_mounts "$1"
    # "run" starts the image's own entrypoint.
    [[ $entrypoint == kept ]] && verb=run
    ((gpus)) && [[ -e /dev/nvidiactl ]] && options+=(--nv)
    ((gpus)) && [[ -e /dev/kfd ]] && options+=(--rocm)
    mkdir -p -- "$scratch/work" || refuse 125 FolderNotWritable "The folder $scratch cannot be written: is the disk full?"
    keep_settings "$prefix"
    # --contain hides the home and the node's /tmp; --workdir puts their replacements on disk. Not --containall: it drops
    # variables whose names no shell can export. Without --no-eval, a shell would expand the values.
    exec setsid env -i PATH="$PATH" HOME=~ "${settings[@]}" "${device_variables[@]/#/${prefix}ENV_}" \
        "${launcher[@]}" "$run/$name.reason" / "$1/env" "${prefix}ENV_" \
        "$program" --silent "$verb" --contain --pid --ipc --no-eval --workdir "$scratch/work" --pwd "${workdir:-/}" \
        "${options[@]}" "$place" "${argv[@]}"
}

find_image() {  # sets $place: a file or folder at the site, or what the program can fetch
    local file=${image//\//%}
    file=$images/${file//:/+}
    case $image in
        docker://* | oras://* | library://* | https://*) place=$image ;;
        # instance:// would enter another pod's container.
        *://*) refuse 125 ImageNotAllowed "The image $image cannot be used here; name one in a registry." ;;
        /*) use_local "$image" ;;
        *.sif) use_local "$file" ;;
        *) [[ -e $file.sif ]] && use_local "$file.sif" || place=docker://$image ;;
    esac
}

use_local() {  # <path>
    place=$1
    [[ -e $place ]] || refuse 125 ImageMissing "The image $image is not at this site; its operator can put it at $place."
    local real
    real=$(realpath -- "$place")
    # A folder can be an image. But / or a parent of the home would show the container files that it must not see.
    [[ $real != / && $(realpath -- ~)/ != "$real"/* ]] || refuse 125 ImageNotAllowed "The folder $image cannot be used as an image."
}

add_mounts() {  # <folder that describes the container>
    local fields index mode
    mapfile -d '' -t fields < "$1/mounts"
    for ((index = 0; index < ${#fields[@]}; index += 4)); do
        find_source "${fields[index]}" "${fields[index + 2]}"
        mode=
        [[ ${fields[index + 3]} == ro ]] && mode=,ro
        # Comma-separated values: a field in quotes may hold commas; a quote in it is doubled.
        options+=(--mount "type=bind,\"source=${found//\"/\"\"}\",\"destination=${fields[index + 1]//\"/\"\"}\"$mode")
    done
}

keep_settings() {  # <prefix>: keeps the site's variables for the program (APPTAINER_CACHEDIR), not those for containers
    local variable
    settings=()
    for variable in $(compgen -e | grep -E "^$1_"); do settings+=("$variable=${!variable}"); done
}
