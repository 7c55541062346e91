'use strict';
// The extension: an API for other extensions, over one server for each window.

const vscode = require('vscode');
const { Area } = require('./area');
const { Connection, StorageError } = require('./connection');

/** A promise of the connection of this window, or undefined while nobody has opened an area. */
let connecting;

async function connect() {
  const configuration = vscode.workspace.getConfiguration('webstorage');
  const command = configuration.get('serverPath') || 'webstorage-server';
  const connection = new Connection(command, configuration.get('serverArguments') ?? [], configuration.get('timeout') ?? 10000);
  try {
    await connection.call('initialize', {
      processId: process.pid,
      clientInfo: { name: 'Visual Studio Code', version: vscode.version },
      capabilities: {},
    });
  } catch (error) {
    // What does not answer is not left running.
    await connection.kill();
    vscode.window.showErrorMessage(`Web Storage: ${error.message}`);
    throw error;
  }
  connection.notify('initialized', {});
  return connection;
}

/** The connection of this window: the one there is, unless its server has ended. */
async function connected() {
  const current = connecting;
  const connection = await current?.catch(() => undefined);
  if (connection && !connection.ended) return connection;
  // Of several that find it ended at once, the first starts the next server.
  if (connecting === current) connecting = connect();
  return connecting;
}

const OPTIONS = ['persistent', 'origin', 'quota', 'url'];

/** Refuses what nobody reads: a misspelt option would otherwise have no effect, and nobody would hear of it. */
function checkOptions(options) {
  if (options === null || typeof options !== 'object') {
    throw new TypeError('open: an object is expected, such as { persistent: true, origin: "vscode-extension://publisher.name" }');
  }
  for (const name of Object.keys(options)) {
    if (!OPTIONS.includes(name)) throw new TypeError(`open: there is no option ${JSON.stringify(name)}; the options are ${OPTIONS.join(', ')}`);
  }
  if (typeof options.persistent !== 'boolean') {
    throw new TypeError('open: the option persistent must be true (shared by all windows, and kept) or false (of this window only)');
  }
  // The server's default origin is everybody's.
  if (options.persistent && !options.origin) {
    throw new TypeError('open: a persistent area needs an origin of its own, such as "vscode-extension://publisher.name"');
  }
}

/** Called by VS Code before the extension's API is used. */
function activate() {
  return {
    /**
     * Opens an area: `persistent` (shared by all windows and programs, and kept) or of this window only; `origin`, such
     * as `vscode-extension://publisher.name`, which a persistent area needs; optionally `quota` in bytes and `url`, which
     * others are told with changes.
     */
    async open(options) {
      checkOptions(options);
      const { persistent, origin, quota, url } = options;
      const connection = await connected();
      return new Area(connection, await connection.call('storage/open', { persistent, origin, quota, url }));
    },
    StorageError,
  };
}

/** Called by VS Code when the window closes. */
async function deactivate() {
  const connection = await connecting?.catch(() => undefined);
  connecting = undefined;
  await connection?.stop();
}

module.exports = { activate, deactivate };
