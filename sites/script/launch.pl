# launch.pl REASON WORKDIR ENVIRONMENT PREFIX COMMAND ARGUMENT...
# Becomes COMMAND in WORKDIR, with NAME=value pairs (NUL-separated) from the file ENVIRONMENT added under PREFIX; names
# that no shell could export are added as they are, since a runtime that reads the prefix cannot take them.
# A shell could not: it cannot export a name like app.ini, and on a command line everybody reads the values.
# launch.py does the same where there is no perl.
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
# Background processes of a shell ignore these two, and so would the container.
$SIG{INT} = $SIG{QUIT} = 'DEFAULT';
{ exec { $command[0] } @command }
refuse($!{ENOENT} ? 127 : 126, 'CommandNotRun', "The command $command[0] cannot be run: $!.");
