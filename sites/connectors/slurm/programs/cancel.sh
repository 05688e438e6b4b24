# Ends batch jobs. Stdin: lines <native id> TAB <key>. Slurm reuses ids, so the job's name must hold our key too.
wanted=$(cat)
queue=$(timeout 60 squeue -h -a -u "$(id -u)" -o '%A|%j') || exit 1
ours=$(printf '%s\n@\n%s\n' "$queue" "$wanted" | awk '
    BEGIN { FS = "|" }
    /^@$/ { FS = "\t"; listed = 1; next }
    !listed { name[$1] = $2; next }
    name[$1] == "isthmus-" $2 { print $1 }')
# -Q: a job that has ended in the meantime is not an error.
[ -z "$ours" ] || printf '%s\n' "$ours" | xargs -n 200 timeout 60 scancel -Q
