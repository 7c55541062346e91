'use strict';
// Another window: a process with an extension host's view of the extension, driven with {id, code} messages.
require('./vscode');
const extension = require('../extension');
const state = { api: extension.activate(), extension, events: [] };
process.on('message', async ({ id, code }) => {
  try {
    const run = new Function('state', `return (async () => { ${code} })()`);
    process.send({ id, result: await run(state) });
  } catch (error) {
    process.send({ id, error: String(error.stack) });
  }
});
process.on('disconnect', () => process.exit());
