<?php
// What the PHP programs have in common.

error_reporting(E_ALL);
ini_set('display_errors', 'stderr');

const LARGE = 900000;

/** A line. Not by echo, after which PHP begins no session. */
function say(string $line): void
{
    fwrite(STDOUT, "$line\n");
}

function show(string $what, mixed $result): void
{
    if (is_string($result) && strlen($result) > 100) {
        $result = strlen($result) . ' bytes';
    }
    say("$what: " . json_encode($result));
}

/** Has the test restart the server, does something meanwhile, and tries until it is served again. */
function restarted(callable $action, ?callable $meanwhile = null): void
{
    say('restart');
    if ($meanwhile) {
        $meanwhile();
    }
    fgets(STDIN);
    for ($tries = 0; $tries < 300; $tries++) {
        if (@$action()) {
            say('served again');
            return;
        }
        usleep(100000);
    }
    say('not served again');
}

function main(array $scenarios): void
{
    [, $name, $host, $port] = $_SERVER['argv'];
    $scenarios[$name]($host, (int) $port);
}
