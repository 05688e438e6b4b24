# The start of every program: nothing of a login's own settings decides how ours behave.
set -u
umask 077
export LC_ALL=C
unset CDPATH
cd 2> /dev/null || { echo "the account's home folder is not there" >&2; exit 71; }
