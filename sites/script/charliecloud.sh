# Runtime "charliecloud": ch-run on an image directory, in a root that charliecloud_root.sh builds around the image.

run_container() {  # <folder that describes the container>
    local program directory reference=${image#docker://}
    directory=${reference//\//%}
    directory=$images/${directory//:/+}
    [[ $entrypoint == replaced ]] || refuse 127 CommandMissing "Container $name has no command, and charliecloud images have none; give one in the pod."
    [[ $images && $reference && $reference != .* && -d $directory ]] || refuse 125 ImageMissing "The image $image is not at this site; its operator can put it at $directory."
    program=$(type -P "$runtime") || refuse 125 RuntimeMissing "The program $runtime is not on the node $HOSTNAME; tell the site's operator."
    # First a namespace in which mounts are allowed, then, inside it, ch-run as the account itself.
    exec setsid unshare --user --map-root-user --mount /bin/bash -p "$folder/root.sh" \
        "$run/$name.reason" "$directory" "$1" "$scratch" "$folder/volumes" "${workdir:-/}" \
        env -i PATH="$standard_path" USER="$(id -un)" TMPDIR="$scratch/root/tmp" \
        "${launcher[@]}" "$run/$name.reason" / "$1/env" '' \
        "$program" --uid="$(id -u)" --gid="$(id -g)" --cd="${workdir:-/}" \
        --unset-env=USER --env-no-expand --set-env=HOME=/tmp --set-env=PATH="$standard_path" \
        "${device_variables[@]/#/--set-env=}" --set-env="$scratch/image_environment" --set-env="$1/env.lines"
}
