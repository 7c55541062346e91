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

/** Called by VS Code before the extension's API is used. */
function activate() {
  return {
    /**
     * Opens an area: `persistent` (shared by all windows and programs, and kept) or of this window only; `origin`, such
     * as `vscode-extension://publisher.name`; optionally `quota` in bytes and `url`, which others are told with changes.
     */
    async open({ persistent, origin, quota, url }) {
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
