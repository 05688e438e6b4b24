# The partitions this account may see, a line for each kind of node in each of them.
exec timeout 60 sinfo -h -e -o '%R|%P|%a|%l|%D|%c|%m|%G'
