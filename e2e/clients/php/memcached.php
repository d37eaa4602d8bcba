<?php
// php-memcached (libmemcached): the text and the binary protocol, SASL PLAIN, the login of the text protocol, sessions.

require __DIR__ . '/scenario.php';

function client(string $host, int $port, bool $binary = false): Memcached
{
    $client = new Memcached();
    $client->setOption(Memcached::OPT_BINARY_PROTOCOL, $binary);
    $client->setOption(Memcached::OPT_TCP_NODELAY, true);
    $client->setOption(Memcached::OPT_COMPRESSION, false);
    $client->setOption(Memcached::OPT_RETRY_TIMEOUT, 1);
    $client->addServer($host, $port);
    return $client;
}

function operations(Memcached $client): void
{
    $code = fn() => $client->getResultMessage();
    show('flush', $client->flush());
    show('set', $client->set('k', 'v'));
    show('get', $client->get('k'));
    show('get nothing', [$client->get('none'), $code()]);
    show('add', [$client->add('k', 'w'), $code()]);
    show('add new', $client->add('new', 'w'));
    show('replace', $client->replace('k', 'x'));
    show('replace nothing', [$client->replace('none', 'x'), $code()]);
    show('append', $client->append('k', 'yz'));
    show('prepend', $client->prepend('k', 'w'));
    show('append to nothing', [$client->append('none', 'x'), $code()]);
    show('get', $client->get('k'));
    $many = [];
    for ($i = 0; $i < 300; $i++) {
        $many["many$i"] = "value $i";
    }
    show('setMulti', $client->setMulti($many));
    $found = $client->getMulti([...array_keys($many), 'none']);
    ksort($found);
    ksort($many);
    show('getMulti', $found === $many);
    $item = $client->get('k', null, Memcached::GET_EXTENDED);
    show('get extended', $item['value']);
    show('cas', $client->cas($item['cas'], 'k', 'by cas'));
    show('cas again', [$client->cas($item['cas'], 'k', 'too late'), $code()]);
    show('increment nothing', [$client->increment('count'), $code()]);
    show('set count', $client->set('count', 10));
    show('increment', $client->increment('count', 5));
    show('decrement', $client->decrement('count', 100));
    show('touch', $client->touch('k', 100));
    show('touch nothing', [$client->touch('none', 100), $code()]);
    show('set expired', $client->set('over', 'v', -1));
    show('get expired', [$client->get('over'), $code()]);
    show('array', $client->set('array', ['a' => [1, 2.5, null], 'b' => true]));
    show('get array', $client->get('array'));
    show('large', $client->set('large', str_repeat('0123456789', LARGE / 10)));
    show('get large', $client->get('large'));
    show('too large', [$client->set('large', str_repeat('0123456789', LARGE / 5)), $code()]);
    show('get too large', [$client->get('large'), $code()]);
    show('delete', $client->delete('k'));
    show('delete nothing', [$client->delete('k'), $code()]);
    show('deleteMulti', $client->deleteMulti(['many0', 'many1', 'none']));
    show('version', array_map(fn($version) => str_starts_with($version, '1.6.'), array_values($client->getVersion())));
    $stats = $client->getStats();
    show('stats', is_array($stats) && isset(current($stats)['curr_items']));
}

function reconnect(Memcached $client): void
{
    show('set', $client->set('k', 'v'));
    restarted(fn() => $client->set('after', 'v'));
    show('get after', $client->get('after'));
}

function login(string $host, int $port): void
{
    $known = client($host, $port, true);
    $known->setSaslAuthData(getenv('CLIENT_USER'), getenv('CLIENT_PASSWORD'));
    operations($known);
    $strangers = [
        'wrong' => [getenv('CLIENT_USER'), 'wrong'],
        'wrong user' => ['nobody', getenv('CLIENT_PASSWORD')],
        'none' => null,
    ];
    foreach ($strangers as $which => $says) {
        $client = client($host, $port, true);
        if ($says) {
            $client->setSaslAuthData(...$says);
        }
        show("$which: set", [$client->set('k', 'v'), $client->getResultMessage()]);
        show("$which: get", [$client->get('k'), $client->getResultMessage()]);
    }
}

/** The text protocol's login is a set, the first thing on a connection. */
function loginText(string $host, int $port): void
{
    $known = client($host, $port);
    show('right: login', $known->set('auth', getenv('CLIENT_USER') . ' ' . getenv('CLIENT_PASSWORD')));
    operations($known);
    foreach (['wrong' => getenv('CLIENT_USER') . ' wrong', 'wrong user' => 'nobody ' . getenv('CLIENT_PASSWORD')] as $which => $says) {
        $client = client($host, $port);
        show("$which: login", [$client->set('auth', $says), $client->getResultMessage()]);
        show("$which: get", [$client->get('k'), $client->getResultMessage()]);
    }
    $client = client($host, $port);
    show('none: get', [$client->get('k'), $client->getResultMessage()]);
}

/** One request of a visitor at one replica: what he has seen so far, one more. */
function visit(int $port, bool $binary): int|false
{
    ini_set('session.save_path', "127.0.0.1:$port");
    ini_set('memcached.sess_binary_protocol', $binary ? '1' : '0');
    session_id('visitor');
    if (!@session_start()) {
        return false;
    }
    $_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
    $visits = $_SESSION['visits'];
    return @session_write_close() ? $visits : false;
}

function seen(int $port): int
{
    $values = client('127.0.0.1', $port)->get('memc.sess.visitor');
    return preg_match('/visits\|i:(\d+)/', (string) $values, $found) ? (int) $found[1] : 0;
}

/** Replication takes a moment. */
function arrived(int $port, int $visits): bool
{
    for ($tries = 0; $tries < 300 && seen($port) !== $visits; $tries++) {
        usleep(100000);
    }
    return seen($port) === $visits;
}

/** A visitor goes to one replica, then to the other one while the first is restarted, and back. No visit is forgotten. */
function sessions(int $port, bool $binary): void
{
    $other = (int) getenv('OTHER_PORT');
    ini_set('session.use_cookies', '0');
    ini_set('session.use_strict_mode', '0');
    ini_set('session.cache_limiter', '');
    ini_set('session.save_handler', 'memcached');
    ini_set('memcached.sess_locking', '1');
    ini_set('memcached.sess_prefix', 'memc.sess.');
    ini_set('memcached.sess_lock_wait_min', '10');
    ini_set('memcached.sess_lock_wait_max', '100');
    ini_set('memcached.sess_lock_retries', '100');
    $visits = fn(int $port, int $count) => array_map(fn() => visit($port, $binary), range(1, $count));
    show('visits at one', $visits($port, 20));
    show('seen at the other', arrived($other, 20));
    restarted(fn() => arrived($port, 40), fn() => show('visits at the other', $visits($other, 20)));
    show('visits at one', $visits($port, 10));
    show('seen at the other', arrived($other, 50));
    // nobody is locked out for ever
    show('locks', client('127.0.0.1', $port)->get('memc.sess.lock.visitor'));
    show('visits at the other', $visits($other, 1));
}

main([
    'operations' => fn($host, $port) => operations(client($host, $port)),
    'operations-binary' => fn($host, $port) => operations(client($host, $port, true)),
    'reconnect' => fn($host, $port) => reconnect(client($host, $port)),
    'reconnect-binary' => fn($host, $port) => reconnect(client($host, $port, true)),
    'login' => login(...),
    'login-text' => loginText(...),
    'sessions' => fn($host, $port) => sessions($port, false),
    'sessions-binary' => fn($host, $port) => sessions($port, true),
]);
