<?php
// php-memcache: the text protocol.

require __DIR__ . '/scenario.php';

function client(string $host, int $port): Memcache
{
    $client = new Memcache();
    $client->addServer($host, $port, false, 1, 5, 0);
    return $client;
}

function operations(Memcache $client): void
{
    show('flush', $client->flush());
    show('set', $client->set('k', 'v'));
    show('get', $client->get('k'));
    show('get nothing', $client->get('none'));
    show('add', $client->add('k', 'w'));
    show('add new', $client->add('new', 'w'));
    show('replace', $client->replace('k', 'x'));
    show('replace nothing', $client->replace('none', 'x'));
    show('append', $client->append('k', 'yz'));
    show('prepend', $client->prepend('k', 'w'));
    show('get', $client->get('k'));
    for ($i = 0; $i < 300; $i++) {
        $client->set("many$i", "value $i");
    }
    $found = $client->get(array_map(fn($i) => "many$i", range(0, 309)));
    show('multi-get', count($found) . ' ' . $found['many299']);
    show('set count', $client->set('count', 10));
    show('increment', $client->increment('count', 5));
    show('decrement', $client->decrement('count', 100));
    show('increment nothing', $client->increment('none'));
    show('compressed', $client->set('compressed', str_repeat('0123456789', 10000), MEMCACHE_COMPRESSED));
    show('get compressed', $client->get('compressed'));
    show('array', $client->set('array', ['a' => [1, 2.5, null], 'b' => true]));
    show('get array', $client->get('array'));
    show('large', $client->set('large', str_repeat('0123456789', LARGE / 10)));
    show('get large', $client->get('large'));
    show('set expired', $client->set('over', 'v', 0, -1));
    show('get expired', $client->get('over'));
    show('delete', $client->delete('k'));
    show('delete nothing', $client->delete('k'));
    show('version', str_starts_with($client->getVersion(), '1.6.'));
    show('stats', isset($client->getStats()['curr_items']));
}

/** The text protocol's login is a set, the first thing on a connection. */
function login(string $host, int $port): void
{
    $known = client($host, $port);
    show('right: login', $known->set('auth', getenv('CLIENT_USER') . ' ' . getenv('CLIENT_PASSWORD')));
    operations($known);
    foreach (['wrong' => getenv('CLIENT_USER') . ' wrong', 'wrong user' => 'nobody ' . getenv('CLIENT_PASSWORD')] as $which => $says) {
        $client = client($host, $port);
        show("$which: login", @$client->set('auth', $says));
        show("$which: get", @$client->get('k'));
    }
    show('none: get', @client($host, $port)->get('k'));
}

main([
    'operations' => fn($host, $port) => operations(client($host, $port)),
    'login-text' => login(...),
    'reconnect' => function ($host, $port) {
        show('set', client($host, $port)->set('k', 'v'));
        restarted(fn() => client($host, $port)->set('after', 'v'));
        show('get after', client($host, $port)->get('after'));
    },
]);
