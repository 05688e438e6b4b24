# launch.pl REASON WORKDIR ENVIRONMENT PREFIX COMMAND ARGUMENT...
# Becomes COMMAND in WORKDIR, with the NAME=value pairs (NUL-separated) of the file ENVIRONMENT in its environment. Each name
# gets PREFIX, except a name that no shell can export: a runtime that reads the prefix does not accept it.
# A shell cannot do this: it cannot export a name like app.ini, and every user could read values on a command line.
# launch.py does the same on hosts without perl.
use strict;
use warnings;
no warnings 'exec';

my ($reason, $workdir, $environment, $prefix, @command) = @ARGV;

sub refuse {
    my ($code, $word, $sentence) = @_;
    print STDERR "$sentence\n";
    $sentence =~ tr/\0-\37\177/ /;
    if (open(my $out, '>', $reason)) {
        print $out "$word $sentence\n";
        close($out);
    }
    exit($code);
}

open(my $pairs, '<:raw', $environment) or refuse(125, 'FolderNotReadable', "The environment cannot be read: $!.");
{
    local $/ = "\0";
    while (my $pair = <$pairs>) {
        chomp($pair);
        my ($name, $value) = split(/=/, $pair, 2);
        $ENV{$name =~ /\A[A-Za-z_][A-Za-z0-9_]*\z/ ? "$prefix$name" : $name} = $value;
    }
}
close($pairs);

chdir($workdir) or refuse(128, 'WorkingDirMissing', "The working directory $workdir cannot be entered: $!.");
umask(022);
# A shell's background processes ignore these two signals, and the container would inherit that.
$SIG{INT} = $SIG{QUIT} = 'DEFAULT';
{ exec { $command[0] } @command }
refuse($!{ENOENT} ? 127 : 126, 'CommandNotRun', "The command $command[0] cannot be run: $!.");
