# Runtime "host": plain processes without isolation. Nothing can be mounted, so volumes lie under $ISTHMUS_VOLUMES.

run_container() {  # <folder that describes it>
    [[ $entrypoint == replaced ]] || refuse 127 CommandMissing "Container $name has no command, and this site runs no images to take one from."
    exec setsid env -i PATH="$standard_path" HOME="$scratch/home" TMPDIR="$scratch/tmp" \
        ISTHMUS_VOLUMES="$folder/volumes" "${device_variables[@]}" \
        "${launcher[@]}" "$run/$name.reason" "${workdir:-$scratch/home}" "$1/env" '' "${argv[@]}"
}
