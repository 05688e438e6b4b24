# Unsets the variables that a login shell sets for Slurm's commands, so that they cannot change the meaning of ours. Only
# SLURM_CONF stays: it says where the cluster is.
for variable in $(env | sed -n 's/^\(\(SLURM\|SBATCH\|SQUEUE\|SACCT\|SCANCEL\|SINFO\)_[A-Za-z0-9_]*\)=.*/\1/p'); do
    [ "$variable" = SLURM_CONF ] || unset "$variable"
done
export SLURM_TIME_FORMAT=%s
