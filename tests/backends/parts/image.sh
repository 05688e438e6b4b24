# Builds an image directory for charliecloud, offline, from one static busybox: <images>/busybox+1.36.
# Sourced by up.sh.
IMAGE=$BACKENDS/images/busybox+1.36

build_image() { # FOLDER
  local root=$1 applet
  mkdir -p "$root"/{bin,ch,data,dev,etc,home,mnt,opt,proc,root,run/secrets/kubernetes.io/serviceaccount,srv,sys,tmp,usr/bin,work}
  mkdir -p "$root/var/tmp"
  ln -s ../run "$root/var/run"
  chmod 1777 "$root/tmp" "$root/var/tmp"
  cp "$(command -v busybox)" "$root/bin/busybox"
  for applet in $(busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
  done
  ln -s /bin/env "$root/usr/bin/env"
  echo 'root:x:0:0:root:/root:/bin/sh' > "$root/etc/passwd"
  echo 'root:x:0:' > "$root/etc/group"
  : > "$root/etc/resolv.conf"
  : > "$root/etc/hosts"
  # The image's own environment, where charliecloud looks for it: a pod without variables must still see it.
  printf 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nFROM_IMAGE=yes\n' > "$root/ch/environment"
  chmod -R a+rX "$root"
}

if [ ! -d "$IMAGE" ]; then
  rm -rf "$BACKENDS/images/new"
  build_image "$BACKENDS/images/new"
  mv -T "$BACKENDS/images/new" "$IMAGE"
fi
# Other names of the same image, as the recorded pods and the demo's pods write it.
for name in busybox busybox+latest docker.io%library%busybox+1.36 python+3.11-alpine; do ln -sfn busybox+1.36 "$BACKENDS/images/$name"; done
chmod 755 "$BACKENDS/images"
