// What the two ways of synchronous storage guarantee to processes that share a directory.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, createWebStorage } from "webstorage-client";
import { serverPath } from "../paths.mjs";
import { startPeer, temporaryDirectory, until } from "./processes.mjs";

const url = "http://localhost/peer";

function open(t, options) {
  const storage = createWebStorage({ server: serverPath(), ...options });
  t.after(() => storage.close());
  return storage;
}

function hearing(storage) {
  const heard = [];
  storage.target.addEventListener("storage", ({ key, oldValue, newValue, url }) => heard.push({ key, oldValue, newValue, url }));
  assert.equal(typeof storage.localStorage.length, "number");
  return heard;
}

test("direct: what one process has written, every other reads at once", async (t) => {
  const storageDir = temporaryDirectory();
  const { localStorage } = open(t, { storageDir, mode: "direct" });
  const peer = await startPeer(t, { storageDir, mode: "direct" });
  for (let n = 0; n < 50; n++) {
    await peer.evaluate(`localStorage.setItem("k", "peer ${n}")`);
    assert.equal(localStorage.getItem("k"), `peer ${n}`);
    localStorage.setItem("k", `own ${n}`);
    assert.equal(await peer.evaluate(`localStorage.getItem("k")`), `own ${n}`);
  }
  localStorage.clear();
  assert.equal(await peer.evaluate("localStorage.length"), 0);
});

test("direct: nothing of two processes that write at once is lost or torn", async (t) => {
  const storageDir = temporaryDirectory();
  const storage = open(t, { storageDir, mode: "direct" });
  const peer = await startPeer(t, { storageDir, mode: "direct" });
  const writes = (name) => `for (let n = 0; n < 300; n++) { localStorage.setItem("${name}" + n, String(n)); localStorage.setItem("both", "${name}".repeat(500)); }`;
  const others = peer.evaluate(writes("b"));
  new Function("localStorage", writes("a"))(storage.localStorage);
  await others;
  assert.equal(storage.localStorage.length, 601);
  assert.match(storage.localStorage.getItem("both"), /^(a{500}|b{500})$/);
});

for (const mode of ["mirrored", "direct"]) {
  test(`${mode}: the changes of another process arrive as events, in order, each once`, async (t) => {
    const storageDir = temporaryDirectory();
    const storage = open(t, { storageDir, mode });
    const heard = hearing(storage);
    const peer = await startPeer(t, { storageDir, url });
    await peer.evaluate(`
      localStorage.setItem("a", "1"); localStorage.setItem("a", "1"); localStorage.setItem("a", "\\ud800");
      localStorage.removeItem("a"); localStorage.removeItem("a"); localStorage.setItem("b", ""); localStorage.clear();
      for (let n = 0; n < 200; n++) localStorage.setItem("n", String(n));
    `);
    await until(() => heard.length >= 205, "205 events");
    assert.deepEqual(heard.slice(0, 5), [
      { key: "a", oldValue: null, newValue: "1", url },
      { key: "a", oldValue: "1", newValue: "\ud800", url },
      { key: "a", oldValue: "\ud800", newValue: null, url },
      { key: "b", oldValue: null, newValue: "", url },
      { key: null, oldValue: null, newValue: null, url },
    ]);
    assert.deepEqual(heard.slice(5).map(({ newValue }) => newValue), Array.from({ length: 200 }, (_, n) => String(n)));
    assert.equal(storage.localStorage.getItem("n"), "199");
    assert.deepEqual(await peer.evaluate("heard"), []);
  });
}

test("mirrored: a script sees no foreign change before it ends its turn, and then it does", async (t) => {
  const storageDir = temporaryDirectory();
  const storage = open(t, { storageDir });
  const heard = hearing(storage);
  storage.localStorage.setItem("k", "before");
  storage.flush();
  const peer = await startPeer(t, { storageDir, mode: "direct" });
  const written = peer.evaluate(`localStorage.setItem("k", "after"); localStorage.setItem("new", "1")`);
  const direct = open(t, { storageDir, mode: "direct" });
  for (const end = performance.now() + 5000; direct.localStorage.getItem("new") === null && performance.now() < end; );
  assert.equal(direct.localStorage.getItem("k"), "after");
  assert.equal(storage.localStorage.getItem("k"), "before");
  storage.flush();
  assert.equal(storage.localStorage.getItem("k"), "before");
  await written;
  await until(() => heard.length === 2, "two events");
  assert.equal(storage.localStorage.getItem("k"), "after");
});

test("mirrored: copies that are written at the same time end alike, in content and in order", async (t) => {
  const storageDir = temporaryDirectory();
  const storage = open(t, { storageDir });
  const peers = [await startPeer(t, { storageDir }), await startPeer(t, { storageDir })];
  const random = (seed) => `
    let state = ${seed};
    const random = (below) => (state = (state * 48271) % 2147483647) % below;
    const round = () => {
      for (let n = 0; n < 30; n++) {
        const key = "k" + random(12);
        const action = random(20);
        if (action < 12) localStorage.setItem(key, "${seed}-" + random(5));
        else if (action < 19) localStorage.removeItem(key);
        else localStorage.clear();
      }
    };
    let rounds = 40;
    const next = () => (round(), --rounds > 0 ? setImmediate(next) : (storage.flush(), globalThis.done = true));
    globalThis.done = false;
    next();
    undefined;
  `;
  const ends = peers.map((peer, n) => peer.evaluate(random(101 + n)));
  new Function("storage", "localStorage", random(100))(storage, storage.localStorage);
  await Promise.all(ends);
  await until(() => globalThis.done, "the end of the own writes");
  for (const peer of peers) {
    while (!(await peer.evaluate("globalThis.done"))) await new Promise(setImmediate);
  }
  const truth = open(t, { storageDir, mode: "direct" }).snapshot().localStorage;
  const same = (entries) => JSON.stringify(entries) === JSON.stringify(truth);
  await until(() => same(storage.snapshot().localStorage), "the own copy like the stored area");
  for (const peer of peers) {
    const end = performance.now() + 10_000;
    let entries;
    do entries = await peer.evaluate("storage.snapshot().localStorage");
    while (!same(entries) && performance.now() < end);
    assert.deepEqual(entries, truth);
  }
});

for (const mode of ["mirrored", "direct"]) {
  test(`${mode}: a window that only listens hears what other processes change, from the moment it listens`, async (t) => {
    const storageDir = temporaryDirectory();
    const peer = await startPeer(t, { storageDir, url, mode: "direct" });
    await peer.evaluate(`localStorage.setItem("before", "1")`);
    const byListener = open(t, { storageDir, mode });
    const byHandler = open(t, { storageDir, mode });
    const global = {};
    byHandler.install(global);
    byListener.target.addEventListener("other", () => assert.fail("nobody dispatches this"));
    assert.equal(byListener.serverPid ?? byHandler.serverPid, undefined);
    const heard = [];
    const hear = ({ key, newValue, url, storageArea }) => heard.push([key, newValue, url, storageArea]);
    byListener.target.addEventListener("storage", hear);
    global.onstorage = hear;
    await peer.evaluate(`localStorage.setItem("k", "1"); localStorage.setItem("before", "2")`);
    await until(() => heard.length === 4, "two events for each");
    for (const { localStorage } of [byListener, byHandler]) {
      assert.deepEqual(heard.filter(([, , , area]) => area === localStorage), [["k", "1", url, localStorage], ["before", "2", url, localStorage]]);
      assert.deepEqual({ ...localStorage }, { before: "2", k: "1" });
    }
  });
}

test("listening starts nothing where no other process can be heard of, and leaves no trace on a target", async (t) => {
  const memory = open(t, {});
  memory.target.addEventListener("storage", () => assert.fail("nobody else is there"));
  assert.equal(memory.serverPid, undefined);
  // What jsdom's windows are: an accessor of the prototype, which they look at by themselves.
  class Target extends EventTarget {
    #handler = null;
    get onstorage() {
      return this.#handler;
    }
    set onstorage(handler) {
      this.#handler = handler;
    }
  }
  const target = new Target();
  const storage = open(t, { storageDir: temporaryDirectory(), target });
  target.onstorage = null;
  assert.equal(storage.serverPid, undefined);
  const handler = () => undefined;
  target.onstorage = handler;
  assert.equal(target.onstorage, handler);
  assert.notEqual(storage.serverPid, undefined);
  storage.close();
  assert.deepEqual(Object.getOwnPropertyNames(target), []);
  target.addEventListener("storage", () => undefined);
});

test("a window that listens where no server can be started says so and goes on", async (t) => {
  const storage = createWebStorage({ server: "/nowhere/server", storageDir: temporaryDirectory() });
  const warned = new Promise((resolve) => process.once("warning", resolve));
  storage.target.addEventListener("storage", () => undefined);
  const { name, message } = await warned;
  assert.equal(name, "NotSupportedError");
  assert.match(message, /^Nothing is heard of what other processes store: .*\/nowhere\/server/);
});

for (const [what, quota, size] of [
  ["a small quota", 2000, 20],
  ["one that leaves room for writes that do not wait", 5_000_000, 6000],
  ["large values", 5_000_000, 40_000],
]) {
  test(`mirrored: of several processes that fill an area (${what}) none is told later that a write did not fit`, async (t) => {
    const storageDir = temporaryDirectory();
    const options = { storageDir, quota };
    const peers = await Promise.all([startPeer(t, options), startPeer(t, options), startPeer(t, options)]);
    const fill = (name) => `
      globalThis.warnings = [];
      process.on("warning", ({ message }) => warnings.push(message));
      globalThis.accepted = [];
      const next = () => {
        for (let n = 0; n < 5; n++) {
          const key = "${name}" + accepted.length;
          try {
            localStorage.setItem(key, "x".repeat(${size}));
          } catch ({ name }) {
            globalThis.refused = name;
            return;
          }
          accepted.push(key);
        }
        setImmediate(next);
      };
      setImmediate(next);
      localStorage.length;
    `;
    await Promise.all(peers.map((peer, n) => peer.evaluate(fill("abc"[n]))));
    const accepted = [];
    for (const peer of peers) {
      while ((await peer.evaluate("globalThis.refused")) !== "QuotaExceededError") await new Promise(setImmediate);
      await peer.evaluate("storage.flush()");
      accepted.push(...(await peer.evaluate("accepted")));
      assert.deepEqual(await peer.evaluate("warnings"), []);
    }
    const truth = open(t, { storageDir, mode: "direct" }).snapshot().localStorage;
    assert.deepEqual(truth.map(([key]) => key).sort(), accepted.sort());
    // It is full: neither has anybody been refused what would have fitted.
    const usage = truth.reduce((sum, [key, value]) => sum + 2 * (key.length + value.length), 0);
    assert.ok(usage + 2 * (size + 4) > quota, `${usage} bytes are used`);
  });
}

test("mirrored: another's raising and lowering of the quota counts for the next write", async (t) => {
  const storageDir = temporaryDirectory();
  const storage = open(t, { storageDir, quota: 1_000_000 });
  storage.localStorage.setItem("k", "1");
  const peer = await startPeer(t, { storageDir });
  await peer.evaluate(`localStorage.length`);
  const another = (quota) => peer.evaluate(`
    import("webstorage-client").then(({ createWebStorage }) => createWebStorage({ storageDir: ${JSON.stringify(storageDir)}, quota: ${quota} }).localStorage.length);
    1`);
  for (const quota of [200, 2_000_000, 300, 1_000_000]) {
    await another(quota);
    const direct = open(t, { storageDir, mode: "direct" });
    // A quota that is too small for it shows that the other process has got so far.
    const large = "x".repeat(400_000);
    const lowered = quota < 1000;
    const probe = () => {
      try {
        direct.localStorage.setItem("probe", large);
        direct.localStorage.removeItem("probe");
        return false;
      } catch {
        return true;
      }
    };
    await until(() => probe() === lowered, "the other's quota");
    // Where nothing wakes the client it looks for what others do every 10 ms.
    direct.localStorage.setItem("heard", `${quota}`);
    await until(() => storage.localStorage.getItem("heard") === `${quota}`, "the change after the quota's");
    if (lowered) assert.throws(() => storage.localStorage.setItem("large", large), { name: "QuotaExceededError" });
    else storage.localStorage.setItem("large", large);
    storage.localStorage.removeItem("large");
    storage.flush();
    direct.close();
  }
});

test("the asynchronous client hears of others, live and after its server was replaced", async (t) => {
  const storageDir = temporaryDirectory();
  const connection = await connect({ server: serverPath(), storageDir });
  t.after(() => connection.close());
  const area = await connection.open({ persistent: true });
  const heard = [];
  area.addEventListener("storage", (event) => heard.push([event.key, event.newValue, event.area === area]));
  await area.subscribe({ prefix: "a" });
  const peer = await startPeer(t, { storageDir, mode: "direct" });
  await peer.evaluate(`localStorage.setItem("b", "0"); localStorage.setItem("a1", "1")`);
  await until(() => heard.length === 1, "the first event");
  const replaced = new Promise((resolve) => connection.addEventListener("reconnect", resolve, { once: true }));
  process.kill(connection.serverPid, "SIGKILL");
  await peer.evaluate(`localStorage.setItem("a2", "2")`);
  await replaced;
  await peer.evaluate(`localStorage.setItem("a3", "3")`);
  await until(() => heard.length === 3, "the later events");
  assert.deepEqual(heard, [["a1", "1", true], ["a2", "2", true], ["a3", "3", true]]);
});

test("two asynchronous clients count together with transact", async (t) => {
  const storageDir = temporaryDirectory();
  const increment = async (area) => {
    for (let done = 0; done < 100; ) {
      const value = await area.getItem("n");
      const set = [{ key: "n", value: String(Number(value ?? 0) + 1) }];
      try {
        await area.transact({ if: [{ key: "n", value }], set });
        done++;
      } catch (error) {
        assert.equal(error.message.length > 0, true);
      }
    }
  };
  const areas = await Promise.all(
    [1, 2].map(async () => {
      const connection = await connect({ server: serverPath(), storageDir });
      t.after(() => connection.close());
      return connection.open({ persistent: true });
    }),
  );
  await Promise.all(areas.map(increment));
  assert.equal(await areas[0].getItem("n"), "200");
});
