# --chdir: the path that we use. Without it, sbatch takes the kernel's path of the folder, which the nodes may not have.
launch() { exec timeout 30 sbatch --parsable --chdir="$PWD" script; }
