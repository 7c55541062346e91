// The asynchronous client.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { connect, createWebStorage, quotaNumbers } from "webstorage-client";
import { serverPath } from "../paths.mjs";
import { exists, temporaryDirectory, until } from "./processes.mjs";

const open = async (t, options = {}) => {
  const connection = await connect({ server: serverPath(), storageDir: temporaryDirectory(), ...options });
  t.after(() => connection.close());
  return connection;
};

test("calls take effect in their order, without waiting for one another", async (t) => {
  const connection = await open(t);
  const area = await connection.open({ persistent: true, origin: "HTTPS://Example.test:443" });
  assert.equal(area.origin, "https://example.test");
  const answers = await Promise.all([
    area.getItem("k"),
    area.setItem("k", "\ud800"),
    area.getItem("k"),
    area.setItem("l", "2"),
    area.keys(),
    area.key(1),
    area.length(),
    area.removeItem("k"),
    area.length(),
    area.clear(),
    area.length(),
  ]);
  assert.deepEqual(answers, [null, undefined, "\ud800", undefined, ["k", "l"], "l", 2, undefined, 1, undefined, 0]);
});

test("errors are exceptions with their names and numbers", async (t) => {
  const connection = await open(t);
  const area = await connection.open({ persistent: false, quota: 10 });
  assert.equal(area.quota, 10);
  await assert.rejects(area.setItem("123456", ""), (error) => {
    assert.ok(error instanceof DOMException);
    assert.equal(error.name, "QuotaExceededError");
    assert.deepEqual(error[quotaNumbers], { quota: 10, requested: 12, usage: 0 });
    return true;
  });
  const first = area.subscribe();
  await assert.rejects(area.subscribe(), (error) => error instanceof DOMException && error.name === "InvalidStateError");
  await first;
  await area.close();
  await assert.rejects(area.getItem("a"), { name: "InvalidStateError" });
  await assert.rejects(connection.open({ persistent: true, origin: "null" }), { name: "SecurityError" });
});

test("a server that dies is replaced; what was persistent is there, what was in memory is told", async (t) => {
  const connection = await open(t);
  const kept = await connection.open({ persistent: true });
  const lost = await connection.open({ persistent: false });
  await kept.setItem("a", "1");
  await lost.setItem("a", "1");
  const told = new Promise((resolve) => connection.addEventListener("reconnect", resolve, { once: true }));
  const first = connection.serverPid;
  const unanswered = kept.length();
  process.kill(first, "SIGKILL");
  await unanswered.catch((error) => assert.match(error.message, /not known whether/));
  const event = await told;
  assert.notEqual(connection.serverPid, first);
  assert.deepEqual(event.lost, [lost]);
  assert.equal(await kept.getItem("a"), "1");
  assert.equal(await lost.getItem("a"), null);
});

test("a server that hangs is ended after the timeout and replaced", async (t) => {
  const connection = await open(t, { timeout: 300 });
  const area = await connection.open({ persistent: true });
  const first = connection.serverPid;
  process.kill(first, "SIGSTOP");
  await assert.rejects(area.setItem("a", "1"), { name: "TimeoutError" });
  assert.equal(await area.length(), 0);
  assert.notEqual(connection.serverPid, first);
});

test("an interrupt from the terminal leaves the server to the program's own handler, and the end of the program ends it", async (t) => {
  const storageDir = temporaryDirectory();
  const source = `
    import { connect } from ${JSON.stringify(import.meta.resolve("webstorage-client"))};
    const connection = await connect({ server: ${JSON.stringify(serverPath())}, storageDir: ${JSON.stringify(storageDir)} });
    const area = await connection.open({ persistent: true });
    const memory = await connection.open({ persistent: false });
    await memory.setItem("draft", "1");
    process.on("SIGINT", async () => {
      // Whoever has been interrupted together with this process has noticed it by now.
      await new Promise((resolve) => setTimeout(resolve, 100));
      await area.setItem("last", await memory.getItem("draft"));
      process.exit(5);
    });
    process.stdout.write(String(connection.serverPid) + "\\n");
    setInterval(() => undefined, 1000);
  `;
  const args = "Deno" in globalThis ? ["eval", "--node-modules-dir=manual", source] : ["--input-type=module", "-e", source];
  // A terminal interrupts the group of processes that it runs.
  const child = spawn(process.execPath, args, { detached: true, stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, NODE_TEST_CONTEXT: undefined } });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const server = Number(await new Promise((resolve) => child.stdout.once("data", resolve)));
  process.kill(-child.pid, "SIGINT");
  assert.equal(await ended, 5);
  await until(() => !exists(server), "the end of the server");
  const connection = await open(t, { storageDir });
  assert.equal(await (await connection.open({ persistent: true })).getItem("last"), "1");
});

test("an error without an id fails what is outstanding, and the connection goes on", async (t) => {
  const program = join(temporaryDirectory(), "server");
  // The first getItem is answered as a message is whose id could not be read.
  writeFileSync(program, `#!/bin/sh
    exec 3>&1
    first=1
    while IFS= read -r line; do
      case $first$line in
        1*getItem*)
          first=
          echo '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error: nothing was changed."}}' >&3 ;;
        *) printf '%s\\n' "$line" ;;
      esac
    done | '${serverPath()}' "$@"
  `);
  chmodSync(program, 0o755);
  const connection = await open(t, { server: program });
  const area = await connection.open({ persistent: true });
  await assert.rejects(area.getItem("a"), { name: "UnknownError", message: /Parse error/ });
  assert.equal(await area.getItem("a"), null);
  const storage = createWebStorage({ server: program, mode: "direct" });
  t.after(() => storage.close());
  assert.throws(() => storage.localStorage.getItem("a"), { name: "UnknownError", message: /Parse error/ });
  assert.equal(storage.localStorage.getItem("a"), null);
});

test("without reconnect the connection closes", async (t) => {
  const connection = await open(t, { reconnect: false });
  const closed = new Promise((resolve) => connection.addEventListener("close", resolve, { once: true }));
  process.kill(connection.serverPid, "SIGKILL");
  await closed;
  await assert.rejects(connection.open({ persistent: false }), { name: "UnknownError" });
});

test("a program that is no server is refused at once, with what it printed", async (t) => {
  const program = join(temporaryDirectory(), "not-a-server");
  writeFileSync(program, "#!/bin/sh\necho 'cannot run here' >&2\nexit 1\n");
  chmodSync(program, 0o755);
  await assert.rejects(connect({ server: program }), { name: "UnknownError", message: /ended unexpectedly \(exit code 1\) before it answered.*cannot run here/ });
  await assert.rejects(connect({ server: "/nowhere" }), { name: "NotSupportedError" });
});

test("close waits for what was sent, ends the server, and disposal is close", async (t) => {
  const storageDir = temporaryDirectory();
  const connection = await connect({ server: serverPath(), storageDir });
  const area = await connection.open({ persistent: true });
  const pid = connection.serverPid;
  const writes = Array.from({ length: 500 }, (_, n) => area.setItem(`k${n}`, "v"));
  await connection[Symbol.asyncDispose ?? Symbol.for("nodejs.asyncDispose")]();
  await Promise.all(writes);
  await until(() => !exists(pid), "the end of the server");
  const again = await open(t, { storageDir });
  assert.equal(await (await again.open({ persistent: true })).length(), 500);
});
