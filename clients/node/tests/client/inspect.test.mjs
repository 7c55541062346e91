// Who prints a storage sees its items; code that uses it sees no trace of that.
import assert from "node:assert/strict";
import { Console } from "node:console";
import { Writable } from "node:stream";
import { describe, test } from "node:test";
import { format, inspect } from "node:util";
import { createContext } from "node:vm";
import { Window } from "happy-dom";
import { JSDOM } from "jsdom";
import { createWebStorage } from "webstorage-client";
import { serverPath } from "../paths.mjs";
import { temporaryDirectory } from "./processes.mjs";

const realms = {
  Node: () => globalThis,
  "a vm context": () => createContext({}),
  "a window of jsdom": () => new JSDOM("", { url: "http://localhost/" }).window,
  "a window of happy-dom": () => new Window({ url: "http://localhost/" }),
};

for (const mode of ["mirrored", "direct"]) {
  const open = (t, options = {}) => {
    const storage = createWebStorage({ mode, server: serverPath(), ...options });
    t.after(() => storage.close());
    return storage;
  };

  describe(`printing a ${mode} storage`, () => {
    for (const [name, realm] of Object.entries(realms)) {
      test(`shows the items: ${name}`, (t) => {
        const { localStorage } = open(t, { global: realm(), seed: { a: "1", "b c": "2\n" } });
        const text = "Storage { a: '1', 'b c': '2\\n' }";
        assert.equal(inspect(localStorage), text);
        assert.equal(inspect(localStorage, { customInspect: false }), text);
        assert.equal(inspect({ deep: { deeper: { localStorage } } }, { depth: 3, breakLength: Infinity, compact: 5 }), `{ deep: { deeper: { localStorage: ${text} } } }`);
        assert.equal(inspect([[[[localStorage]]]]), "[ [ [ [Array] ] ] ]");
        assert.equal(inspect([[[localStorage]]]), "[ [ [ [Storage] ] ] ]");
        assert.equal(format("%O", localStorage), text);
        let printed = "";
        new Console(new Writable({ write: (part, _, done) => ((printed += part), done()) })).log(localStorage);
        assert.equal(printed, `${text}\n`);
      });
    }

    test("shows them as they are now, and none of an empty or closed one", (t) => {
      const storage = open(t);
      const { localStorage } = storage;
      assert.equal(inspect(localStorage), "Storage {}");
      localStorage.setItem("a", "1");
      assert.equal(inspect(localStorage), "Storage { a: '1' }");
      localStorage.removeItem("a");
      localStorage.setItem("b", "2");
      assert.equal(inspect(localStorage), "Storage { b: '2' }");
      localStorage.clear();
      assert.equal(inspect(localStorage), "Storage {}");
      localStorage.setItem("c", "3");
      storage.close();
      assert.equal(inspect(localStorage), "Storage {}");
    });

    test("shows what a directory keeps before anything was read", (t) => {
      const storageDir = temporaryDirectory();
      const first = open(t, { storageDir, seed: { a: "1" } });
      first.localStorage.setItem("b", "2");
      first.close();
      assert.equal(inspect(open(t, { storageDir }).localStorage), "Storage { a: '1', b: '2' }");
    });

    test("differences of assertions show them", (t) => {
      const { localStorage } = open(t, { seed: { a: "1", b: "2" } });
      assert.throws(() => assert.deepEqual({ ...localStorage, storage: localStorage }, {}), ({ message }) => /Storage \{\s+\+?\s+a: '1',\s+\+?\s+b: '2'/.test(message));
      assert.throws(() => assert.notEqual(localStorage, localStorage), ({ message }) => /a: '1'/.test(message));
    });

    test("uses no failure up that a test asked for", (t) => {
      const storage = open(t, { seed: { a: "1" } });
      for (const operation of ["getItem", "key", "keys", "length"]) storage.failNext(operation, "UnknownError");
      assert.equal(inspect(storage.localStorage), "Storage { a: '1' }");
      assert.throws(() => storage.localStorage.getItem("a"), { name: "UnknownError" });
      assert.throws(() => storage.localStorage.length, { name: "UnknownError" });
    });

    test("leaves no trace on the object", (t) => {
      const { localStorage, sessionStorage, Storage } = open(t, { seed: { a: "1" } });
      const tag = Symbol.toStringTag;
      const prototypeKeys = Reflect.ownKeys(Storage.prototype);
      const traces = [
        (storage) => Reflect.ownKeys(storage),
        (storage) => Object.getOwnPropertyDescriptor(storage, tag),
        (storage) => Object.hasOwn(storage, tag),
        (storage) => [tag in storage, storage[tag], String(storage)],
        (storage) => [storage.a, "a" in storage, Object.getOwnPropertyDescriptor(storage, "a")],
        (storage) => [storage.length, storage.key(0), storage.getItem("a")],
        (storage) => [delete storage[tag], Reflect.set(storage, tag, "x"), storage[tag]],
        (storage) => Object.entries(storage),
      ];
      for (const trace of traces) {
        const before = trace(localStorage);
        inspect(localStorage);
        assert.deepEqual(trace(localStorage), before, String(trace));
      }
      inspect(localStorage);
      delete localStorage.a;
      assert.deepEqual([localStorage.a, localStorage.length], [undefined, 0]);
      inspect(localStorage);
      localStorage.b = "2";
      inspect(localStorage);
      localStorage.b = "3";
      assert.deepEqual([localStorage.b, localStorage.getItem("b")], ["3", "3"]);
      inspect(localStorage);
      Storage.prototype.getItem.call(localStorage, "b");
      Storage.prototype.setItem.call(localStorage, "b", "4");
      assert.equal(localStorage.b, "4");
      Object.defineProperty(sessionStorage, tag, { value: "Mine", configurable: true });
      assert.deepEqual([sessionStorage[tag], Reflect.ownKeys(sessionStorage), String(sessionStorage)], ["Mine", [tag], "[object Mine]"]);
      assert.deepEqual(Reflect.ownKeys(Storage.prototype), prototypeKeys);
    });
  });
}
