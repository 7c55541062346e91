'use strict';
// All editors on one area: VS Code's API here, Neovim, Emacs and Vim as processes, and a pipe without an editor.
// Prints a line for each check; editors/test counts them.
const assert = require('node:assert/strict');
const { spawn, spawnSync } = require('node:child_process');
const path = require('node:path');
require('../vscode/test/vscode');
const extension = require('../vscode/extension');

const editors = path.dirname(__dirname);
const limit = 30000;
const text = 'ünï 🦀 "\\\n';
const origin = 'https://together.test';
const commands = {
  neovim: [process.env.NVIM, '--clean', '--headless', '--cmd', `set rtp^=${editors}/neovim`, '-l', `${__dirname}/neovim.lua`],
  emacs: ['emacs', '-Q', '--batch', '-L', `${editors}/emacs`, '-l', `${__dirname}/emacs.el`],
  vim: ['vim', '-Nu', 'NONE', '-es', '--cmd', 'set encoding=utf-8', '--cmd', `set rtp^=${editors}/vim`, '-S', `${__dirname}/vim.vim`],
};
const names = Object.keys(commands);

async function check(name, body) {
  try {
    await body();
    console.log(`ok together: ${name}`);
  } catch (error) {
    console.log(`not ok together: ${name}: ${String(error.stack).replace(/\n/g, '\n  ')}`);
  }
}

/** The events so far, and a promise of the time when `condition` holds of them. */
const events = [];
let wake = () => {};
async function until(what, condition) {
  const timer = setTimeout(() => wake(), limit);
  const end = Date.now() + limit;
  while (!condition()) {
    assert.ok(Date.now() < end, `waited in vain for ${what}`);
    await new Promise((resolve) => (wake = resolve));
  }
  clearTimeout(timer);
}
const has = (key) => events.find((event) => event.key === key)?.newValue;

async function main() {
  const area = await extension.activate().open({ persistent: true, origin });
  area.onDidChange((event) => {
    events.push(event);
    wake();
  });
  const said = {};
  const processes = names.map((name) => {
    const [command, ...args] = commands[name];
    const child = spawn(command, args, { env: { ...process.env, TOGETHER_TEXT: text }, stdio: ['ignore', 'pipe', 'pipe'] });
    said[name] = '';
    child.stdout.on('data', (chunk) => (said[name] += chunk));
    child.stderr.on('data', (chunk) => (said[name] += chunk));
    return new Promise((resolve) => child.on('close', (code) => resolve([name, code])));
  });

  await check('what each editor wrote arrives in the others exactly', async () => {
    await until('the editors', () => names.every((name) => has(`ready/${name}`) !== undefined)).catch((error) => {
      throw new Error(`${error.message}\n${JSON.stringify(said, null, 2)}`);
    });
    assert.deepEqual(names.map((name) => has(`ready/${name}`)), names.map(() => text));
  });

  await check('four editors that increment one item 25 times each end at 100, and each heard the word', async () => {
    await area.transact({ set: [{ key: 'count', value: '0' }, { key: 'go', value: text }] });
    for (let i = 0; i < 25; i++) await area.update('count', (value) => String(Number(value) + 1));
    await until('the increments', () => names.every((name) => has(`done/${name}`) !== undefined));
    assert.deepEqual(names.map((name) => has(`done/${name}`)), names.map(() => text));
    assert.equal(await area.getItem('count'), '100');
    const counts = events.filter(({ key }) => key === 'count');
    assert.equal(counts.length, 75);
    // Each change follows from the one before: none is missing but this window's own, none comes twice.
    const sequences = events.map(({ sequence }) => sequence);
    assert.deepEqual(sequences, [...new Set(sequences)].sort((a, b) => a - b));
  });

  await check('the editors ended well', async () => {
    assert.deepEqual(await Promise.all(processes), names.map((name) => [name, 0]), JSON.stringify(said, null, 2));
  });

  await check('a pipe without an editor sees what they left', () => {
    const calls = [
      { jsonrpc: '2.0', id: 1, method: 'storage/open', params: [true, origin] },
      { jsonrpc: '2.0', id: 2, method: 'getItem', params: [1, 'count'] },
    ];
    const { stdout } = spawnSync(process.env.WEBSTORAGE_SERVER, { input: calls.map((call) => `${JSON.stringify(call)}\n`).join(''), encoding: 'utf8' });
    assert.equal(JSON.parse(stdout.split('\n')[1]).result, '100');
  });
  await extension.deactivate();
}

main().catch((error) => {
  console.log(`not ok together: ${error.stack}`);
  process.exitCode = 1;
});
