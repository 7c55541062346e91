'use strict';
// What the extension uses of the module `vscode`, for tests in plain Node.
const Module = require('node:module');

const shown = [];
const settings = { serverPath: process.env.WEBSTORAGE_SERVER, serverArguments: [], timeout: 10000 };
const vscode = {
  version: '1.100.0',
  workspace: { getConfiguration: () => ({ get: (name) => settings[name] }) },
  window: { showErrorMessage: (message) => shown.push(message) },
};
const load = Module._load;
Module._load = (request, ...rest) => (request === 'vscode' ? vscode : load(request, ...rest));

module.exports = { shown, settings, vscode };
