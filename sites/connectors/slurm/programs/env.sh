# Nothing a login shell has set for Slurm's commands may change what ours mean, save for where the cluster is.
for variable in $(env | sed -n 's/^\(\(SLURM\|SBATCH\|SQUEUE\|SACCT\|SCANCEL\|SINFO\)_[A-Za-z0-9_]*\)=.*/\1/p'); do
    [ "$variable" = SLURM_CONF ] || unset "$variable"
done
export SLURM_TIME_FORMAT=%s
