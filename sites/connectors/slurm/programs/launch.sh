# --chdir: our own name of the folder; sbatch would ask the kernel, whose name the nodes may not know.
launch() { exec timeout 30 sbatch --parsable --chdir="$PWD" script; }
