# The start of every program. It makes our programs independent of the login's own settings.
set -u
umask 077
export LC_ALL=C
unset CDPATH
cd 2> /dev/null || { echo "the account's home folder is not there" >&2; exit 71; }
