// Asynchronous contexts: what the storage makes belongs to nobody, and nobody's context is kept.
import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { connect, createWebStorage } from "webstorage-client";
import { serverPath } from "../paths.mjs";
import { startPeer, temporaryDirectory } from "./processes.mjs";

const server = serverPath();
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");

/** Resolves when an object was collected; rejects when it is still there after many turns. */
async function collected(reference) {
  for (let turn = 0; turn < 200; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    collect();
    if (reference.deref() === undefined) return;
  }
  assert.fail("something is kept");
}

for (const mode of ["mirrored", "direct"]) {
  test(`${mode}: events do not run in the context of who used the storage first, nor of who made the change`, async (t) => {
    const context = new AsyncLocalStorage();
    const storageDir = temporaryDirectory();
    const storage = context.run("first", () => {
      const storage = createWebStorage({ server, mode, storageDir });
      storage.localStorage.setItem("a", "1");
      return storage;
    });
    t.after(() => storage.close());
    const contexts = [];
    const heard = () => new Promise((resolve) => storage.target.addEventListener("storage", () => resolve(contexts.push(context.getStore())), { once: true }));
    const other = storage.openWindow();
    const own = heard();
    context.run("second", () => other.localStorage.setItem("b", "1"));
    await own;
    const peer = await startPeer(t, { mode, storageDir });
    const foreign = heard();
    await peer.evaluate('localStorage.setItem("c", "1"); storage.flush()');
    await foreign;
    assert.deepEqual(contexts, [undefined, undefined]);
  });

  test(`${mode}: neither the context of the first use nor a closed window is kept`, async (t) => {
    const context = new AsyncLocalStorage();
    const storage = createWebStorage({ server, mode, storageDir: temporaryDirectory() });
    t.after(() => storage.close());
    const store = (() => {
      const store = { heavy: new Array(1000) };
      context.run(store, () => storage.localStorage.setItem("a", "1"));
      return new WeakRef(store);
    })();
    await collected(store);
    const target = (() => {
      const window = storage.openWindow();
      window.localStorage.setItem("b", "1");
      window.close();
      // The object that was used last is kept for the next use.
      assert.equal(storage.localStorage.length, 2);
      return new WeakRef(window.target);
    })();
    await collected(target);
  });
}

test("connect: events do not run in the context of who connected", async (t) => {
  const context = new AsyncLocalStorage();
  const connection = await context.run("first", () => connect({ server, storageDir: temporaryDirectory() }));
  t.after(() => connection.close());
  const [area, other] = [await connection.open({ persistent: true }), await connection.open({ persistent: true })];
  await area.subscribe();
  const heard = new Promise((resolve) => area.addEventListener("storage", () => resolve(context.getStore())));
  await other.setItem("a", "1");
  assert.equal(await heard, undefined);
});
