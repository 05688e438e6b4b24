# Runtime "host": plain processes without isolation. It cannot mount, so the volumes are in $ISTHMUS_VOLUMES.

run_container() {  # <folder that describes the container>
    [[ $entrypoint == replaced ]] || refuse 127 CommandMissing "Container $name has no command; this site uses no images, so the pod must give one."
    exec setsid env -i PATH="$standard_path" HOME="$scratch/home" TMPDIR="$scratch/tmp" \
        ISTHMUS_VOLUMES="$folder/volumes" "${device_variables[@]}" \
        "${launcher[@]}" "$run/$name.reason" "${workdir:-$scratch/home}" "$1/env" '' "${argv[@]}"
}
