# What this host has: <cpus> and <memory in kilobytes>.
nproc
while read -r name size _; do
    [ "$name" != MemTotal: ] || echo "$size"
done < /proc/meminfo
