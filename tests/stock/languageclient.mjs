// vscode-languageserver-protocol: the typed messages that vscode-languageclient sends.
import assert from "node:assert/strict";
import lsp from "vscode-languageserver-protocol/node";
import { check, start } from "./check.mjs";

function connect(...flags) {
  const { child, exited } = start(...flags);
  const connection = lsp.createProtocolConnection(new lsp.StreamMessageReader(child.stdout), new lsp.StreamMessageWriter(child.stdin));
  connection.listen();
  return { child, exited, connection };
}

// What vscode-languageclient sends at its start, in this order.
const beginning = {
  processId: process.pid,
  clientInfo: { name: "Visual Studio Code", version: "1.100.0" },
  locale: "en",
  rootPath: null,
  rootUri: null,
  capabilities: { workspace: { executeCommand: { dynamicRegistration: true } }, window: { workDoneProgress: true } },
  initializationOptions: { illFormedStrings: "escape" },
  trace: "verbose",
  workDoneToken: "token",
  workspaceFolders: null,
};

await check("vscode-languageserver-protocol: start, commands, shutdown, exit code 0", async () => {
  const { exited, connection } = connect("--no-persistent", `--clientProcessId=${process.pid}`);
  const result = await connection.sendRequest(lsp.InitializeRequest.type, beginning);
  assert.equal(result.serverInfo.name, "webstorage-server");
  assert.equal(result.capabilities.experimental.webStorage.persistent, false);
  await connection.sendNotification(lsp.InitializedNotification.type, {});
  await connection.sendNotification(lsp.SetTraceNotification.type, { value: "off" });
  await connection.sendNotification(lsp.DidChangeConfigurationNotification.type, { settings: null });
  await connection.sendNotification(lsp.DidOpenTextDocumentNotification.type, {
    textDocument: { uri: "file:///a", languageId: "plaintext", version: 1, text: "" },
  });
  const { commands } = result.capabilities.executeCommandProvider;
  const methods = result.capabilities.experimental.webStorage.methods.filter((name) => name.startsWith("storage/"));
  assert.deepEqual(commands, methods.map((name) => name.replace("storage/", "webstorage.")));
  const run = (command, ...args) => connection.sendRequest(lsp.ExecuteCommandRequest.type, { command, arguments: args });
  const { storage } = await run("webstorage.open", false);
  assert.equal(await run("webstorage.setItem", storage, "k", "v"), null);
  assert.equal(await run("webstorage.getItem", { storage, key: "k" }), "v");
  const unknown = await connection.sendRequest(lsp.ExecuteCommandRequest.type, { command: "webstorage.none" }).catch((error) => error);
  assert.equal(unknown.code, lsp.ErrorCodes.InvalidParams);
  assert.equal(await connection.sendRequest(lsp.ShutdownRequest.type), null);
  await connection.sendNotification(lsp.ExitNotification.type);
  assert.equal(await exited, 0);
});

await check("vscode-languageserver-protocol: exit without shutdown has exit code 1", async () => {
  const { exited, connection } = connect("--no-persistent");
  await connection.sendRequest(lsp.InitializeRequest.type, { ...beginning, initializationOptions: undefined });
  await connection.sendNotification(lsp.ExitNotification.type);
  assert.equal(await exited, 1);
});

await check("vscode-languageserver-protocol: the end of the input alone is a normal end", async () => {
  const { child, exited, connection } = connect("--no-persistent");
  await connection.sendRequest(lsp.InitializeRequest.type, beginning);
  child.stdin.end();
  assert.equal(await exited, 0);
});
