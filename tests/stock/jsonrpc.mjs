// vscode-jsonrpc, the library under every VS Code extension that speaks with a server.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import rpc from "vscode-jsonrpc/node.js";
import { check, lock, start } from "./check.mjs";

const { CancellationTokenSource, NotificationType, RequestType, StreamMessageReader, StreamMessageWriter, createMessageConnection } = rpc;

function connect(...flags) {
  const { child, exited } = start(...flags);
  const connection = createMessageConnection(new StreamMessageReader(child.stdout), new StreamMessageWriter(child.stdin));
  connection.listen();
  return { child, exited, connection };
}

await check("vscode-jsonrpc: requests by position and by name", async () => {
  const { child, exited, connection } = connect("--no-persistent");
  const { storage } = await connection.sendRequest("storage/open", { persistent: false });
  assert.equal(await connection.sendRequest("setItem", storage, "a", "\ud800\u0000"), null);
  assert.equal(await connection.sendRequest(new RequestType("storage/getItem"), { storage, key: "a" }), "\ud800\u0000");
  await connection.sendNotification("storage/setItem", { storage, key: "b", value: "é" });
  assert.deepEqual(await connection.sendRequest("storage/keys", { storage }), ["a", "b"]);
  connection.end();
  child.stdin.end();
  assert.equal(await exited, 0);
});

await check("vscode-jsonrpc: errors have their code and data", async () => {
  const { child, exited, connection } = connect("--no-persistent");
  const { storage } = await connection.sendRequest("storage/open", { persistent: false, quota: 4 });
  const refused = await connection.sendRequest("setItem", storage, "key", "value").catch((error) => error);
  assert.ok(refused instanceof rpc.ResponseError);
  assert.deepEqual([refused.code, refused.data], [22, { name: "QuotaExceededError", quota: 4, requested: 16, usage: 0 }]);
  const unknown = await connection.sendRequest("storage/none").catch((error) => error);
  assert.equal(unknown.code, rpc.ErrorCodes.MethodNotFound);
  child.stdin.end();
  assert.equal(await exited, 0);
});

await check("vscode-jsonrpc: storage events are notifications", async () => {
  const { child, exited, connection } = connect("--no-persistent");
  const heard = new Promise((resolve) => connection.onNotification(new NotificationType("storage/event"), resolve));
  const { storage } = await connection.sendRequest("storage/open", { persistent: false });
  const other = await connection.sendRequest("storage/open", { persistent: false });
  await connection.sendRequest("storage/subscribe", { storage: other.storage });
  await connection.sendRequest("setItem", storage, "k", "v");
  const { key, oldValue, newValue } = await heard;
  assert.deepEqual([key, oldValue, newValue], ["k", null, "v"]);
  child.stdin.end();
  assert.equal(await exited, 0);
});

await check("vscode-jsonrpc: a waiting request is cancelled by its token", async () => {
  const dir = join(process.env.STOCK_DIR, "cancel");
  const { child, exited, connection } = connect("--storage-dir", dir, "--busy-timeout", "60000");
  const { storage } = await connection.sendRequest("storage/open", { persistent: true });
  await connection.sendRequest("setItem", storage, "k", "old");
  const file = readdirSync(join(dir, "bottles")).find((name) => name.endsWith(".sqlite"));
  const release = await lock(join(dir, "bottles", file));
  const source = new CancellationTokenSource();
  const waiting = connection.sendRequest("storage/setItem", { storage, key: "k", value: "new" }, source.token).catch((error) => error);
  source.cancel();
  const cancelled = await waiting;
  assert.equal(cancelled.code, -32800);
  await release();
  assert.equal(await connection.sendRequest("getItem", storage, "k"), "old");
  child.stdin.end();
  assert.equal(await exited, 0);
});
