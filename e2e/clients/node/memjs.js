// memjs: the binary protocol, SASL PLAIN.
'use strict';

const readline = require('readline');
const memjs = require('memjs');

const [scenario, host, port] = process.argv.slice(2);

function client(options) {
  return memjs.Client.create(`${host}:${port}`, { timeout: 20, conntimeout: 20, retries: 2, logger: { log() {} }, ...options });
}

function text(result) {
  if (Buffer.isBuffer(result)) {
    return result.length > 100 ? `${result.length} bytes` : JSON.stringify(result.toString());
  }
  if (result && typeof result === 'object') {
    return JSON.stringify(Object.fromEntries(Object.entries(result).map(([key, value]) => [key, text(value)])));
  }
  return String(result);
}

async function show(what, action) {
  try {
    console.log(`${what}: ${text(await action())}`);
  } catch (error) {
    console.log(`${what}: error ${String(error && error.message).split('127.0.0.1')[0].trim()}`);
  }
}

async function operations(options) {
  const c = client(options);
  const large = Buffer.alloc(900000, 'large');
  const get = async (key) => (await c.get(key)).value;
  await show('flush', async () => Object.values(await c.flush()).length);
  await show('set', () => c.set('k', 'v', { expires: 100 }));
  await show('get', () => get('k'));
  await show('get nothing', () => get('none'));
  await show('add', () => c.add('k', 'w', {}));
  await show('add new', () => c.add('new', 'w', {}));
  await show('replace', () => c.replace('k', 'x', {}));
  await show('replace nothing', () => c.replace('none', 'x', {}));
  await show('append', () => c.append('k', 'yz'));
  await show('prepend', () => c.prepend('k', 'w'));
  await show('append to nothing', () => c.append('none', 'yz'));
  await show('get', () => get('k'));
  await show('increment', async () => (await c.increment('count', 5, { initial: 10 })).value);
  await show('increment', async () => (await c.increment('count', 5, { initial: 10 })).value);
  await show('decrement', async () => (await c.decrement('count', 100, { initial: 10 })).value);
  await show('increment text', async () => (await c.increment('k', 1, {})).value);
  await show('touch', () => c.touch('k', 100));
  await show('touch nothing', () => c.touch('none', 100));
  await show('large', () => c.set('large', large, {}));
  await show('get large', async () => large.equals(await get('large')));
  await show('too large', () => c.set('large', Buffer.alloc(2000000, 'x'), {}));
  await Promise.all(Array.from({ length: 300 }, (_, i) => c.set(`many${i}`, `value ${i}`, {})));
  await show('many', async () => {
    const all = await Promise.all(Array.from({ length: 310 }, (_, i) => get(`many${i}`)));
    return all.filter((value, i) => value && value.toString() === `value ${i}`).length;
  });
  await show('delete', () => c.delete('k'));
  await show('delete nothing', () => c.delete('k'));
  c.close();
}

async function reconnect() {
  let c = client({});
  await show('set', () => c.set('k', 'v', {}));
  console.log('restart');
  await new Promise((resolve) => readline.createInterface({ input: process.stdin }).once('line', resolve));
  let served = false;
  for (let tries = 0; tries < 300 && !served; tries += 1) {
    try {
      served = await c.set('after', 'v', {});
    } catch (error) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  console.log(served ? 'served again' : 'not served again');
  await show('get after', async () => (await c.get('after')).value);
  c.close();
}

async function login() {
  const username = process.env.CLIENT_USER;
  await operations({ username, password: process.env.CLIENT_PASSWORD });
  const strangers = [
    ['wrong', { username, password: 'wrong' }],
    ['wrong user', { username: 'nobody', password: process.env.CLIENT_PASSWORD }],
    ['none', {}],
  ];
  for (const [which, says] of strangers) {
    // one each: this library waits for ever for the second answer of a server that has closed
    for (const [what, action] of [['set', (c) => c.set('k', 'v', {})], ['get', async (c) => (await c.get('k')).value]]) {
      const c = client({ ...says, retries: 0 });
      await show(`${which}: ${what}`, () => action(c));
      c.close();
    }
  }
}

({ operations: () => operations({}), reconnect, login })[scenario]().then(() => process.exit(0));
