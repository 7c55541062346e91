// What both ways of synchronous storage have in common.
import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { createContext } from "node:vm";
import { connect, createWebStorage, quotaNumbers } from "webstorage-client";
import { openEnvironment } from "webstorage-client/environment";
import { serverPath } from "../paths.mjs";
import { exists, temporaryDirectory, until } from "./processes.mjs";

for (const mode of ["mirrored", "direct"]) {
  const open = (t, options = {}) => {
    const storage = createWebStorage({ mode, server: serverPath(), ...options });
    t.after(() => storage.close());
    return storage;
  };

  describe(`${mode} storage`, () => {
    test("starts no server before an item is asked for", (t) => {
      const storage = open(t);
      assert.equal(Object.prototype.toString.call(storage.localStorage), "[object Storage]");
      assert.equal(storage.serverPid, undefined);
      assert.equal(storage.localStorage.length, 0);
      assert.ok(exists(storage.serverPid));
    });

    test("keeps every sequence of 16-bit units", (t) => {
      const storageDir = temporaryDirectory();
      const storage = open(t, { storageDir });
      const strings = ["", "\0", "\ud800", "\udc00", "\udfff\ud800", "a\ud83d\ude00b", "\u2028\u2029", "\n\r\"\\", "é", "\ufeff", "\uffff", "x".repeat(100_000)];
      for (const text of strings) storage.localStorage.setItem(`k${text}`, text);
      storage.flush();
      const again = open(t, { storageDir, mode: mode === "mirrored" ? "direct" : "mirrored" });
      for (const { localStorage } of [storage, again]) {
        for (const text of strings) assert.equal(localStorage.getItem(`k${text}`), text);
      }
    });

    test("what is stored is there for the next one, in its order", (t) => {
      const storageDir = temporaryDirectory();
      const strings = ["z", "\ud800", "10", "a", "\0", "\u2028", "", "2"];
      const first = open(t, { storageDir });
      for (const text of strings) first.localStorage.setItem(text, `value of ${text}`);
      first.localStorage.setItem("z", "new");
      first.localStorage.removeItem("10");
      first.localStorage.setItem("10", "again");
      first.close();
      const { localStorage } = open(t, { storageDir });
      assert.deepEqual(Object.keys(localStorage), ["z", "\ud800", "a", "\0", "\u2028", "", "2", "10"]);
      assert.equal(localStorage.getItem("z"), "new");
      assert.equal(localStorage.getItem("\ud800"), "value of \ud800");
    });

    test("origins are apart", (t) => {
      const storageDir = temporaryDirectory();
      open(t, { storageDir, origin: "https://a.test" }).localStorage.setItem("k", "a");
      const other = open(t, { storageDir, url: "https://b.test/page" });
      assert.equal(other.localStorage.getItem("k"), null);
      assert.equal(other.origin, "https://b.test");
    });

    test("two storages in memory are apart, and so are their sessions", (t) => {
      const [one, two] = [open(t), open(t)];
      one.localStorage.setItem("k", "1");
      one.sessionStorage.setItem("s", "1");
      assert.equal(one.serverPid, (two.localStorage.length, two.serverPid));
      assert.equal(two.localStorage.getItem("k"), null);
      assert.equal(two.sessionStorage.getItem("s"), null);
      assert.equal(one.localStorage.getItem("s"), null);
    });

    test("an opaque origin has no storage", (t) => {
      const storage = open(t, { url: "data:text/plain,x" });
      assert.throws(() => storage.localStorage, { name: "SecurityError" });
    });

    test("the quota is exact and its error carries the numbers apart from the standard's fields", (t) => {
      const { localStorage, QuotaExceededError } = open(t, { quota: 20 });
      localStorage.setItem("12345", "12345");
      assert.throws(
        () => localStorage.setItem("a", ""),
        (error) => {
          assert.ok(error instanceof QuotaExceededError);
          assert.deepEqual([error.quota, error.requested], [null, null]);
          assert.deepEqual(error[quotaNumbers], { quota: 20, requested: 22, usage: 20 });
          return true;
        },
      );
      localStorage.setItem("12345", "1234");
      localStorage.setItem("a", "");
      assert.equal(localStorage.length, 2);
    });

    test("key(n) stays right while items come and go", (t) => {
      const { localStorage } = open(t);
      const expected = [];
      let state = 7;
      const random = (below) => (state = (state * 48271) % 2147483647) % below;
      for (let step = 0; step < 1500; step++) {
        if (expected.length > 0 && random(5) < 2) localStorage.removeItem(expected.splice(random(expected.length), 1)[0]);
        else expected.push(`k${step}`), localStorage.setItem(`k${step}`, "");
        const position = random(expected.length + 1);
        assert.equal(localStorage.key(position), expected[position] ?? null);
      }
      assert.deepEqual(Object.keys(localStorage), expected);
    });

    test("seeds: an object, pairs, both areas, a storageState file", (t) => {
      const directory = temporaryDirectory();
      assert.equal(open(t, { seed: { a: "1" } }).localStorage.a, "1");
      assert.deepEqual(Object.entries(open(t, { seed: [["b", "2"], ["1", "3"]] }).localStorage), [["b", "2"], ["1", "3"]]);
      const both = open(t, { seed: { localStorage: { l: "1" }, sessionStorage: [["s", "2"]] } });
      assert.deepEqual(both.snapshot(), { localStorage: [["l", "1"]], sessionStorage: [["s", "2"]] });
      const path = join(directory, "state.json");
      both.storageState({ path });
      assert.equal(statSync(path).mode & 0o777, 0o600);
      assert.deepEqual(JSON.parse(readFileSync(path, "utf8")).origins, [
        { origin: "http://localhost", localStorage: [{ name: "l", value: "1" }], sessionStorage: [{ name: "s", value: "2" }] },
      ]);
      assert.deepEqual(open(t, { seed: path }).snapshot(), both.snapshot());
      assert.throws(() => open(t, { seed: { a: 1 } }), TypeError);
    });

    test("a seed that does not fit is said to be the seed", (t) => {
      const storage = open(t, { quota: 20, seed: { a: "1", b: "x".repeat(10) } });
      for (let attempt = 0; attempt < 2; attempt++) {
        assert.throws(() => storage.localStorage.length, (error) => error instanceof storage.QuotaExceededError && /to start with does not fit\. .*20 (bytes|are allowed)/.test(error.message));
      }
      assert.equal(storage.sessionStorage.length, 0);
    });

    test("what is no snapshot is refused, and the items stay", (t) => {
      const storage = open(t, { seed: { a: "1" } });
      for (const wrong of [undefined, {}, { localStorage: { a: "1" }, sessionStorage: [] }, { localStorage: [["a", 1]], sessionStorage: [] }]) {
        assert.throws(() => storage.restore(wrong), { name: "TypeError", message: /must be what snapshot\(\) returned/ });
      }
      assert.equal(storage.localStorage.a, "1");
      storage.restore(JSON.parse(JSON.stringify(storage.snapshot())));
      assert.deepEqual(storage.snapshot(), { localStorage: [["a", "1"]], sessionStorage: [] });
    });

    test("reset goes back to the seed", (t) => {
      const storage = open(t, { seed: { a: "1" } });
      storage.localStorage.clear();
      storage.sessionStorage.setItem("b", "2");
      const { target } = storage.openWindow();
      storage.failNext("setItem", "UnknownError");
      storage.reset();
      assert.ok(target instanceof EventTarget);
      assert.deepEqual(storage.snapshot(), { localStorage: [["a", "1"]], sessionStorage: [] });
      storage.localStorage.setItem("c", "3");
      assert.equal(storage.localStorage.getItem("c"), "3");
    });

    test("events: one task each, only in other windows, none without a change", async (t) => {
      const storage = open(t, { url: "http://localhost/one" });
      const other = storage.openWindow({ url: "http://localhost/two" });
      const [own, heard] = [[], []];
      const order = [];
      storage.target.addEventListener("storage", (event) => own.push(event));
      other.target.addEventListener("storage", (event) => {
        heard.push([event.key, event.oldValue, event.newValue, event.url]);
        order.push("event");
        queueMicrotask(() => order.push("microtask"));
      });
      storage.localStorage.clear();
      storage.localStorage.setItem("a", "1");
      storage.localStorage.setItem("a", "1");
      storage.localStorage.removeItem("missing");
      storage.localStorage.setItem("a", "2");
      storage.localStorage.removeItem("a");
      storage.localStorage.setItem("b", "");
      storage.localStorage.clear();
      storage.sessionStorage.setItem("session", "is of one window");
      assert.deepEqual(heard, []);
      await Promise.resolve();
      assert.deepEqual(heard, []);
      await until(() => heard.length === 5, "five events");
      const url = "http://localhost/one";
      assert.deepEqual(heard, [
        ["a", null, "1", url],
        ["a", "1", "2", url],
        ["a", "2", null, url],
        ["b", null, "", url],
        [null, null, null, url],
      ]);
      assert.deepEqual(order.slice(0, 4), ["event", "microtask", "event", "microtask"]);
      assert.deepEqual(own, []);
    });

    test("emitSelf lets a window hear itself", async (t) => {
      const storage = open(t, { emitSelf: true });
      const heard = [];
      storage.target.addEventListener("storage", (event) => heard.push(event.newValue));
      storage.localStorage.setItem("a", "1");
      await until(() => heard.length === 1, "the own event");
      assert.deepEqual(heard, ["1"]);
    });

    test("after close everything throws, and the server is gone", async (t) => {
      const storage = open(t, { storageDir: temporaryDirectory() });
      const { localStorage, close } = storage;
      localStorage.setItem("a", "1");
      const pid = storage.serverPid;
      close();
      assert.throws(() => localStorage.getItem("a"), { name: "InvalidStateError" });
      await until(() => !exists(pid), "the end of the server");
      storage.close();
    });

    test("after close the methods of the storage and its windows throw as those of Storage do", (t) => {
      const storage = open(t);
      const other = storage.openWindow();
      const third = storage.openWindow();
      storage.localStorage.setItem("a", "1");
      const snapshot = storage.snapshot();
      const closed = (error) => error instanceof DOMException && error.name === "InvalidStateError" && /was closed/.test(error.message);
      const assertClosed = (...operations) => operations.forEach((operation) => assert.throws(operation, closed, String(operation)));
      const assertWindowClosed = (window) => {
        for (let attempt = 0; attempt < 2; attempt++) {
          assertClosed(
            () => window.localStorage.getItem("a"),
            () => window.sessionStorage.setItem("a", "2"),
            () => window.snapshot(),
            () => window.restore(snapshot),
            () => window.reset(snapshot),
            () => window.failNext("getItem", "UnknownError"),
            () => window.forgetFaults(),
          );
        }
      };
      other.close();
      assertWindowClosed(other);
      other.close();
      storage.reset();
      assertWindowClosed(third);
      storage.close();
      const global = {};
      assertClosed(
        () => storage.localStorage.getItem("a"),
        () => storage.openWindow(),
        () => storage.openWindow({ copySession: false }),
        () => storage.failNext("getItem", "UnknownError"),
        () => storage.snapshot(),
        () => storage.restore(snapshot),
        () => storage.reset(),
        () => storage.storageState(),
        () => storage.install(global),
        () => storage.flush(),
        () => storage.localStorage.getItem("a"),
      );
      assert.deepEqual(global, {});
      // The id may be another process's by now.
      assert.deepEqual([storage.pending, storage.serverPid], [0, undefined]);
      storage.close();
    });

    test("a closed storage speaks to its realm", (t) => {
      const realm = createContext({ DOMException: class DOMException extends Error {} });
      const storage = open(t, { global: realm });
      storage.close();
      for (const operation of [() => storage.snapshot(), () => storage.reset(), () => storage.localStorage.length]) {
        assert.throws(operation, (error) => error instanceof realm.DOMException);
      }
    });

    test("what is installed twice is taken back as well", (t) => {
      const storage = open(t);
      const global = { localStorage: "before" };
      storage.install(global);
      storage.install(global);
      storage.close();
      assert.deepEqual(global, { localStorage: "before" });
    });

    test("install puts accessors on a global object and close takes them back", (t) => {
      const storage = open(t);
      const global = { localStorage: "before" };
      storage.install(global);
      assert.equal(typeof Object.getOwnPropertyDescriptor(global, "localStorage").get, "function");
      assert.equal(global.localStorage, storage.localStorage);
      assert.equal(typeof global.addEventListener, "function");
      storage.close();
      assert.deepEqual(global, { localStorage: "before" });
    });
  });
}

test("wrong options are refused by name", () => {
  for (const options of [
    { mode: "mirror" },
    { quota: "5MB" },
    { quota: -1 },
    { timeout: 0 },
    { storageDir: "" },
    { storageDir: 1 },
    { server: null },
    { origin: "example.test" },
    { url: "/page" },
    { strict: "false" },
    { target: {} },
    { global: "window" },
  ]) {
    const [name] = Object.keys(options);
    assert.throws(() => createWebStorage({ server: serverPath(), ...options }), { name: "TypeError", message: new RegExp(`option ${name} must be`) });
  }
  const storage = createWebStorage({ server: serverPath() });
  assert.throws(() => storage.failNext("setitem", "UnknownError"), { name: "TypeError", message: /operation must be "getItem", "setItem"/ });
  assert.throws(() => storage.failNext("setItem"), { name: "TypeError", message: /error must be the name of an exception or an Error/ });
  assert.throws(() => storage.failNext("setItem", "UnknownError", { area: "session" }), { name: "TypeError", message: /option area must be "localStorage" or "sessionStorage"/ });
  storage.close();
});

test("options that do not exist are refused, with those that do", async () => {
  const refused = (name, known) => ({ name: "TypeError", message: new RegExp(`there is no option ${name}\\. Those that exist are .*\\b${known}\\b`) });
  const storage = createWebStorage({ server: serverPath() });
  assert.throws(() => createWebStorage({ quotta: 100 }), refused("quotta", "quota"));
  assert.throws(() => createWebStorage({ toString: 1 }), refused("toString", "quota"));
  assert.throws(() => createWebStorage({ reset: "file" }), refused("reset", "origin"));
  assert.throws(() => storage.openWindow({ copysession: false }), refused("copysession", "copySession"));
  assert.throws(() => storage.failNext("setItem", "UnknownError", { keys: "a" }), refused("keys", "key"));
  assert.throws(() => storage.install({}, { events: false }), refused("events", "eventMethods"));
  assert.throws(() => storage.storageState({ file: "state.json" }), refused("file", "path"));
  assert.throws(() => openEnvironment({ global: {} }, { temporarydir: true }), refused("temporarydir", "temporaryDir"));
  await assert.rejects(connect({ storagedir: "." }), refused("storagedir", "storageDir"));
  for (const options of ["quota", ["quota"], null]) assert.throws(() => createWebStorage(options), { name: "TypeError", message: /options must be an object/ });
  storage.close();
});

test("a document's URL is of its origin", () => {
  const refused = { name: "TypeError", message: /option url must be of the origin https:\/\/a\.test, and http:\/\/b\.test\/page is of http:\/\/b\.test/ };
  assert.throws(() => createWebStorage({ origin: "https://a.test", url: "http://b.test/page" }), refused);
  const storage = createWebStorage({ origin: "HTTPS://A.test:443/", url: "https://a.test/page" });
  assert.equal(storage.origin, "https://a.test");
  assert.throws(() => storage.openWindow({ url: "http://b.test/page" }), refused);
  storage.close();
});

test("an environment's options may want another document than its window's", () => {
  const open = (options) => {
    const { webStorage, close } = openEnvironment({ global: {}, url: "http://localhost/page" }, options);
    close();
    return [webStorage.origin, webStorage.url];
  };
  assert.deepEqual(open({}), ["http://localhost", "http://localhost/page"]);
  assert.deepEqual(open({ origin: "http://localhost:80" }), ["http://localhost", "http://localhost/page"]);
  assert.deepEqual(open({ origin: "https://a.test" }), ["https://a.test", "https://a.test/"]);
  assert.deepEqual(open({ url: "https://a.test/other" }), ["https://a.test", "https://a.test/other"]);
});
