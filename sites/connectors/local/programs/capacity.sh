# Prints what this host has, in two lines: <cpus>, <memory in kilobytes>.
nproc
while read -r name size _; do
    [ "$name" != MemTotal: ] || echo "$size"
done < /proc/meminfo
