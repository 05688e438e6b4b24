# Lists the partitions that this account may see: one line for each partition and kind of node.
exec timeout 60 sinfo -h -e -o '%R|%P|%a|%l|%D|%c|%m|%G'
