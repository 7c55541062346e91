'use strict';
// Tests of the extension in two windows, as two processes. Prints a line for each check; editors/test counts them.
const assert = require('node:assert/strict');
const { fork, spawnSync } = require('node:child_process');
const { existsSync, readFileSync } = require('node:fs');
const path = require('node:path');
const { shown, settings } = require('./vscode');
const extension = require('../extension');
const { readMessages } = require('../connection');

const limit = 15000;
const server = process.env.WEBSTORAGE_SERVER;

async function check(name, body) {
  try {
    await body();
    console.log(`ok vscode: ${name}`);
  } catch (error) {
    console.log(`not ok vscode: ${name}: ${String(error.stack).replace(/\n/g, '\n  ')}`);
  }
}

/** Resolves when `condition` holds, which is looked at on each turn of the event loop; rejects when the time is up. */
async function until(what, condition) {
  const end = Date.now() + limit;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function openWindow() {
  const child = fork(path.join(__dirname, 'window.js'));
  const waiting = new Map();
  let next = 0;
  child.on('message', ({ id, result, error }) => {
    const { resolve, reject } = waiting.get(id);
    if (error) reject(new Error(error));
    else resolve(result);
  });
  const run = (code) =>
    new Promise((resolve, reject) => {
      waiting.set(next, { resolve, reject });
      child.send({ id: next++, code });
    });
  return { run, child };
}

function isRunning(pid) {
  if (!existsSync(`/proc/${pid}/stat`)) return false;
  try {
    return !/\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

/** The servers that the process `pid` has started. */
function serversOf(pid) {
  const found = spawnSync('ps', ['-o', 'pid=,comm=', '--ppid', String(pid)], { encoding: 'utf8' }).stdout;
  return found.split('\n').filter((line) => line.includes('webstorage')).map((line) => Number.parseInt(line, 10));
}

const origin = 'vscode-extension://test.vscode';

async function main() {
  const api = extension.activate();
  const area = await api.open({ persistent: true, origin });
  const other = openWindow();
  await other.run(`state.area = await state.api.open({ persistent: true, origin: '${origin}', url: '${origin}/other' });`);

  await check('messages are read however they are cut', () => {
    const texts = ['{"a":1}', '{"b":"ü🦀"}', '[]'];
    const bytes = Buffer.from(texts.map((text) => `Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`).join(''));
    for (let first = 0; first <= bytes.length; first++) {
      for (const step of [1, 7, bytes.length]) {
        const got = [];
        let feed;
        readMessages({ on: (_, listener) => (feed = listener) }, (message) => got.push(message));
        feed(bytes.subarray(0, first));
        for (let at = first; at < bytes.length; at += step) feed(bytes.subarray(at, at + step));
        assert.deepEqual(got, texts.map((text) => JSON.parse(text)));
      }
    }
  });

  await check('options that nobody reads, and persistent areas without an origin, are refused', async () => {
    const refused = (options, message) => assert.rejects(async () => api.open(options), { name: 'TypeError', message });
    await refused(undefined, /an object is expected/);
    await refused({ persistent: false, orign: 'https://a.test' }, /"orign".*origin/);
    await refused({ origin: 'https://a.test' }, /persistent must be true .* or false/);
    await refused({ persistent: true }, /needs an origin/);
  });

  await check('every member of an area', async () => {
    const session = await api.open({ persistent: false });
    assert.equal(session.origin, 'http://localhost');
    assert.equal(await session.getItem('a'), null);
    await session.setItem('b', '1');
    await session.setItem('a', '');
    await session.setItem('b', '2');
    assert.equal(await session.getItem('b'), '2');
    assert.equal(await session.getItem('a'), '');
    assert.equal(await session.length(), 2);
    assert.deepEqual([await session.key(0), await session.key(1), await session.key(2)], ['b', 'a', null]);
    assert.deepEqual(await session.keys(), ['b', 'a']);
    assert.deepEqual(await session.entries(), [{ key: 'b', value: '2' }, { key: 'a', value: '' }]);
    await session.removeItem('b');
    assert.deepEqual(await session.keys(), ['a']);
    await session.clear();
    assert.equal(await session.length(), 0);
    await session.close();
    await assert.rejects(session.length(), { name: 'InvalidStateError' });
  });

  await check('a write in one window is seen by the next read in another', async () => {
    for (let i = 0; i < 20; i++) {
      await area.setItem('turn', `${i}`);
      assert.equal(await other.run(`return state.area.getItem('turn')`), `${i}`);
      await other.run(`await state.area.setItem('answer', '${i}')`);
      assert.equal(await area.getItem('answer'), `${i}`);
    }
  });

  await check('changes reach the other window as events, in order, and not the one that made them', async () => {
    await other.run(`
      state.listening = state.area.onDidChange(({ storageArea, ...event }) => state.events.push({ ...event, same: storageArea === state.area }));
      await state.listening.subscribed;
    `);
    const mine = [];
    const disposables = [];
    area.onDidChange(function (event) { mine.push([this.name, event.key, event.newValue, event.url]); }, { name: 'this' }, disposables);
    await area.setItem('theme', 'dark');
    await area.setItem('theme', 'dark');
    await area.setItem('theme', 'light');
    await area.removeItem('theme');
    await area.clear();
    await until('four events there', async () => (await other.run('return state.events.length')) >= 4);
    const told = await other.run('return state.events');
    assert.deepEqual(told.map(({ key, oldValue, newValue, url, same }) => [key, oldValue, newValue, url, same]), [
      ['theme', null, 'dark', origin, true],
      ['theme', 'dark', 'light', origin, true],
      ['theme', 'light', null, origin, true],
      [null, null, null, origin, true],
    ]);
    await other.run(`await state.area.setItem('from', 'other')`);
    await until('the event here', () => mine.length >= 1);
    assert.deepEqual(mine, [['this', 'from', 'other', `${origin}/other`]]);
    assert.equal(disposables.length, 1);
    disposables[0].dispose();
    // The area's calls are carried out in order, so that the subscription has ended when this one is answered.
    await disposables[0].subscribed;
    await area.length();
    await other.run(`await state.area.setItem('from', 'other again')`);
    await area.getItem('from');
    assert.equal(mine.length, 1);
  });

  await check('two windows that increment one item 100 times each end at 200', async () => {
    await area.setItem('count', '0');
    const there = other.run(`for (let i = 0; i < 100; i++) await state.area.update('count', (value) => String(Number(value) + 1));`);
    for (let i = 0; i < 100; i++) await area.update('count', (value) => String(Number(value) + 1));
    await there;
    assert.equal(await area.getItem('count'), '200');
    assert.equal(await area.update('count', () => null), null);
    assert.equal(await area.getItem('count'), null);
  });

  await check('a transaction is seen as a whole or not at all', async () => {
    await area.transact({ clear: true, set: [{ key: 'from', value: '100' }, { key: 'to', value: '0' }] });
    const there = other.run(`
      let sums = new Set();
      for (let i = 0; i < 200; i++) sums.add((await state.area.entries()).reduce((sum, { value }) => sum + Number(value), 0));
      return [...sums];
    `);
    for (let i = 1; i <= 100; i++) await area.transact({ set: [{ key: 'from', value: `${100 - i}` }, { key: 'to', value: `${i}` }] });
    assert.deepEqual(await there, [100]);
    await assert.rejects(area.transact({ if: [{ key: 'from', value: '7' }], clear: true }), (error) => {
      assert.equal(error.name, 'ConstraintError');
      assert.deepEqual(error.data.unmet, [{ key: 'from', value: '0' }]);
      return true;
    });
    assert.equal(await area.length(), 2);
  });

  await check('every string is exact, lone surrogates and NUL included', async () => {
    for (const text of ['', 'a\0b', '\ud800', '\udc00\ud800', 'x\udfff', 'line\nend\r\n', '"\\', '\u2028', '🦀 ünï', '\x7f\x01']) {
      await area.setItem(text, text + text);
      assert.equal(await area.getItem(text), text + text);
      assert.equal(await other.run(`return (await state.area.getItem(${JSON.stringify(text)})) === ${JSON.stringify(text + text)}`), true);
      await area.removeItem(text);
    }
  });

  await check('a value of 1 MiB is exact', async () => {
    const large = '0123456789abcde\n'.repeat(65536);
    await area.setItem('large', large);
    assert.equal(await other.run(`return (await state.area.getItem('large')) === '0123456789abcde\\n'.repeat(65536)`), true);
    await area.removeItem('large');
  });

  await check('errors name the DOMException and its numbers', async () => {
    const small = await api.open({ persistent: false, origin: 'https://small.test', quota: 16 });
    await assert.rejects(small.setItem('key', 'far too long for it'), (error) => {
      assert.ok(error instanceof api.StorageError);
      assert.deepEqual([error.name, error.code, error.data.quota], ['QuotaExceededError', 22, 16]);
      return true;
    });
    await assert.rejects(api.open({ persistent: true, origin: 'null' }), { name: 'SecurityError' });
  });

  await check('a window has one server, however many open areas at once', async () => {
    const window = openWindow();
    const count = await window.run(`
      const areas = await Promise.all([1, 2, 3].map((n) => state.api.open({ persistent: false, origin: 'https://n' + n + '.test' })));
      return areas.length;
    `);
    assert.equal(count, 3);
    assert.equal(serversOf(window.child.pid).length, 1);
    window.child.disconnect();
  });

  await check('after the end of a server its areas fail, and the next opening starts another', async () => {
    const window = openWindow();
    await window.run(`state.area = await state.api.open({ persistent: true, origin: '${origin}' });`);
    const [pid] = serversOf(window.child.pid);
    process.kill(pid, 'SIGKILL');
    await until('the end of the server', () => !isRunning(pid));
    const name = await window.run(`try { await state.area.length(); } catch (error) { return [error.name, error.message]; }`);
    assert.deepEqual(name, ['InvalidStateError', 'the server ended by SIGKILL.']);
    assert.equal(await window.run(`return (await state.api.open({ persistent: true, origin: '${origin}' })).getItem('to')`), '100');
    window.child.disconnect();
  });

  await check('closing a window carries out what was sent and leaves no server behind', async () => {
    const [pid] = serversOf(other.child.pid);
    assert.ok(isRunning(pid));
    await other.run(`for (let i = 1; i <= 200; i++) state.area.setItem('quit', String(i)); await state.extension.deactivate();`);
    assert.equal(isRunning(pid), false);
    assert.equal(await area.getItem('quit'), '200');
    other.child.disconnect();
  });

  await check('killing a window leaves no server behind', async () => {
    const doomed = openWindow();
    await doomed.run(`await state.api.open({ persistent: false });`);
    const [pid] = serversOf(doomed.child.pid);
    assert.ok(isRunning(pid));
    doomed.child.kill('SIGKILL');
    await until('the end of the server', () => !isRunning(pid));
  });

  const [pid] = serversOf(process.pid);
  await check('deactivating ends the server', async () => {
    assert.ok(isRunning(pid));
    await extension.deactivate();
    assert.equal(isRunning(pid), false);
    await assert.rejects(area.length(), { name: 'InvalidStateError', message: 'the connection was stopped' });
  });

  await check('a missing server is told clearly, to the caller and to the user', async () => {
    settings.serverPath = '/nowhere/webstorage-server';
    const message = /^the server "\/nowhere\/webstorage-server" was not found or is not executable: .*webstorage\.serverPath/;
    await assert.rejects(api.open({ persistent: false }), { name: 'NotFoundError', message });
    assert.match(shown.at(-1), /^Web Storage: the server .* was not found/);
  });

  await check('a program that is no such server is told clearly', async () => {
    settings.serverPath = 'sh';
    settings.serverArguments = ['-c', 'echo no such thing >&2; exit 3'];
    await assert.rejects(api.open({ persistent: false }), { name: 'InvalidStateError', message: /code 3\. no such thing/ });
  });

  await check('a server that does not answer is a TimeoutError, and is not left running', async () => {
    settings.serverPath = 'sleep';
    settings.serverArguments = ['60'];
    settings.timeout = 200;
    await assert.rejects(api.open({ persistent: false }), { name: 'TimeoutError' });
    assert.doesNotMatch(spawnSync('ps', ['-o', 'comm=', '--ppid', String(process.pid)], { encoding: 'utf8' }).stdout, /sleep/);
  });

  await check('an error without an id fails what waits, instead of leaving it to its time-out', async () => {
    const answers = ({ id, method }) =>
      method === 'initialize' ? { id, result: { capabilities: {} } } : { id: null, error: { code: -32700, message: 'not UTF-8' } };
    const program = `
      const { readMessages } = require(${JSON.stringify(require.resolve('../connection'))});
      const answers = ${answers};
      readMessages(process.stdin, (message) => {
        if (message.id === undefined) return;
        const reply = JSON.stringify({ jsonrpc: '2.0', ...answers(message) });
        process.stdout.write('Content-Length: ' + reply.length + '\\r\\n\\r\\n' + reply);
      });`;
    Object.assign(settings, { serverPath: process.execPath, serverArguments: ['-e', program], timeout: 10 * limit });
    const opening = [api.open({ persistent: false }), api.open({ persistent: false })];
    for (const open of opening) await assert.rejects(open, { name: 'Error', code: -32700, message: 'not UTF-8' });
    await extension.deactivate();
  });

  await check('with the right setting the next opening works', async () => {
    Object.assign(settings, { serverPath: server, serverArguments: [], timeout: 10000 });
    const again = await api.open({ persistent: true, origin });
    assert.equal(await again.getItem('quit'), '200');
    await extension.deactivate();
  });
}

main().catch((error) => {
  console.log(`not ok vscode: ${error.stack}`);
  process.exitCode = 1;
});
