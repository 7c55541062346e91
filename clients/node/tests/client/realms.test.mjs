// The classes of a realm: one of each, whoever has made them, and what they say about objects of another realm.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { describe, test } from "node:test";
import { createContext, runInContext } from "node:vm";
import { Window } from "happy-dom";
import { JSDOM } from "jsdom";
import { createWebStorage } from "webstorage-client";
import { openEnvironment } from "webstorage-client/environment";
import { serverPath } from "../paths.mjs";

const realms = {
  Node: () => globalThis,
  "a vm context": () => createContext({}),
  "a window of jsdom": () => new JSDOM("", { runScripts: "outside-only", url: "http://localhost/" }).window,
  "a window of happy-dom": () => new Window({ url: "http://localhost/" }),
};

function open(t, options = {}) {
  const storage = createWebStorage({ server: serverPath(), ...options });
  t.after(() => storage.close());
  return storage;
}

/** A second copy of the package, as each realm of Jest has one. */
function anotherCopy() {
  const require = createRequire(import.meta.url);
  const loaded = { ...require.cache };
  for (const path of Object.keys(require.cache)) if (path.includes("webstorage-client")) delete require.cache[path];
  const copy = require("webstorage-client");
  for (const path of Object.keys(require.cache)) if (path.includes("webstorage-client")) delete require.cache[path];
  Object.assign(require.cache, loaded);
  return copy;
}

for (const [name, realm] of Object.entries(realms)) {
  describe(`two storages in ${name}`, () => {
    test("have the same classes and combine in one document", (t) => {
      const global = realm();
      const one = open(t, { global, origin: "http://one.test" });
      const two = open(t, { global, origin: "http://two.test", mode: "direct", strict: true });
      for (const member of ["Storage", "StorageEvent", "QuotaExceededError"]) assert.equal(one[member], two[member], member);
      assert.ok(one.localStorage instanceof two.Storage);
      const event = new two.StorageEvent("storage", { storageArea: one.localStorage });
      assert.equal(event.storageArea, one.localStorage);
      event.initStorageEvent("storage", false, false, "a", null, "1", "", two.sessionStorage);
      assert.equal(event.storageArea, two.sessionStorage);
      two.Storage.prototype.setItem.call(one.localStorage, "a", "1");
      assert.deepEqual([one.localStorage.getItem("a"), two.localStorage.getItem("a")], ["1", null]);
      one.close();
      assert.throws(() => two.Storage.prototype.getItem.call(one.localStorage, "a"), { name: "InvalidStateError" });
      assert.equal(two.localStorage.length, 0);
    });

    test("have them also when two copies of the package have made them", (t) => {
      const global = realm();
      const one = open(t, { global });
      const copy = anotherCopy();
      assert.notEqual(copy.createWebStorage, createWebStorage);
      const two = copy.createWebStorage({ global, quota: 10, server: serverPath() });
      t.after(() => two.close());
      assert.equal(one.Storage, two.Storage);
      assert.equal(new one.StorageEvent("storage", { storageArea: two.localStorage }).storageArea, two.localStorage);
      assert.throws(() => two.localStorage.setItem("a", "much more than that"), (error) => error instanceof one.QuotaExceededError);
      assert.throws(() => one.Storage.prototype.setItem.call(two.localStorage, "a", "much more than that"), { name: "QuotaExceededError" });
    });
  });
}

test("an object of another realm is refused, and the message says that it is one", (t) => {
  const here = open(t);
  for (const global of [createContext({}), new Window({ url: "http://localhost/" })]) {
    const there = open(t, { global });
    assert.notEqual(here.Storage, there.Storage);
    const init = { storageArea: there.localStorage };
    assert.throws(() => new here.StorageEvent("storage", init), { name: "TypeError", message: /'Storage'.*belongs to another realm.*use the StorageEvent of that one/ });
    assert.throws(() => new here.StorageEvent("storage").initStorageEvent("a", false, false, null, null, null, "", there.localStorage), { message: /another realm/ });
    assert.throws(() => here.Storage.prototype.getItem.call(there.localStorage, "a"), { name: "TypeError", message: /Illegal invocation.*belongs to another realm/ });
  }
  const window = new JSDOM("", { url: "http://localhost/" }).window;
  assert.throws(() => new here.StorageEvent("storage", { storageArea: window.localStorage }), { message: /another realm/ });
  for (const wrong of [{}, 1, here.Storage.prototype, Object.create(here.localStorage)]) {
    assert.throws(() => new here.StorageEvent("storage", { storageArea: wrong }), ({ message }) => /'Storage'\.$/.test(message));
    assert.throws(() => Reflect.apply(here.Storage.prototype.getItem, wrong, ["a"]), { message: "Illegal invocation" });
  }
});

test("a realm with another Event has a StorageEvent on that one", (t) => {
  const global = createContext({});
  runInContext("class Event { constructor(type) { this.type = type; } }; globalThis.Event = Event;", global);
  const first = open(t, { global });
  assert.equal(Object.getPrototypeOf(first.StorageEvent), global.Event);
  const before = global.Event;
  global.Event = Event;
  const second = open(t, { global });
  assert.equal(Object.getPrototypeOf(second.StorageEvent), Event);
  assert.equal(first.Storage, second.Storage);
  global.Event = before;
  assert.equal(open(t, { global }).StorageEvent, first.StorageEvent);
});

test("what the tests of one environment left on the prototype is not there for the next", () => {
  const global = {};
  const options = { server: serverPath() };
  const first = openEnvironment({ global }, options);
  global.Storage.prototype.getItem = () => "left";
  assert.equal(global.localStorage.getItem("a"), "left");
  first.close();
  const second = openEnvironment({ global }, options);
  assert.equal(global.localStorage.getItem("a"), null);
  second.close();
});

for (const [name, realm] of Object.entries(realms)) {
  test(`initStorageEvent does nothing while the event is dispatched: ${name}`, (t) => {
    const global = realm();
    const { StorageEvent, localStorage } = open(t, { global });
    const target = global.EventTarget === undefined ? new EventTarget() : new global.EventTarget();
    const event = new StorageEvent("storage", { key: "k", newValue: "v", url: "u", cancelable: true });
    const read = () => [event.type, event.bubbles, event.cancelable, event.key, event.oldValue, event.newValue, event.url, event.storageArea];
    const before = read();
    let during;
    target.addEventListener("storage", () => {
      event.initStorageEvent("other", true, false, "x", "x", "x", "x", localStorage);
      during = read();
      assert.throws(() => event.initStorageEvent(), { name: "TypeError" });
      assert.throws(() => event.initStorageEvent("a", false, false, null, null, null, "", {}), { name: "TypeError" });
    });
    target.dispatchEvent(event);
    assert.deepEqual(during, before);
    assert.deepEqual(read(), before);
    event.initStorageEvent("other", true, false, "x", "y", "z", "w", localStorage);
    assert.deepEqual(read(), ["other", true, false, "x", "y", "z", "w", localStorage]);
  });
}

for (const mode of ["mirrored", "direct"]) {
  test(`${mode}: what is no data descriptor is refused and changes nothing`, (t) => {
    const { localStorage } = open(t, { mode, seed: { old: "1" } });
    const refused = [{}, { enumerable: false }, { enumerable: true, configurable: true }, { get: () => "g" }, { set() {} }, { get: undefined }, { get: () => "g", set() {}, configurable: true, enumerable: true }];
    for (const name of ["old", "new", "getItem", "length", "0", ""]) {
      for (const descriptor of refused) {
        assert.throws(() => Object.defineProperty(localStorage, name, descriptor), TypeError);
        assert.equal(Reflect.defineProperty(localStorage, name, descriptor), false);
      }
    }
    assert.deepEqual(Object.entries(localStorage), [["old", "1"]]);
    assert.equal(localStorage.length, 1);
    for (const [descriptor, value] of [[{ value: 1 }, "1"], [{ value: undefined }, "undefined"], [{ writable: false }, "undefined"], [{ value: "v", enumerable: false }, "v"]]) {
      Object.defineProperty(localStorage, "new", descriptor);
      assert.equal(localStorage.getItem("new"), value);
      assert.deepEqual(Object.getOwnPropertyDescriptor(localStorage, "new"), { value, writable: true, enumerable: true, configurable: true });
    }
  });
}
