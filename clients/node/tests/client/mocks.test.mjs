// The functions of libraries for tests stand on the objects and the prototype as on any other object; everything else
// that is put on the name of a member is an item, as WebIDL says.
import assert from "node:assert/strict";
import { describe, mock, test } from "node:test";
import { runInNewContext } from "node:vm";
import * as vitest from "@vitest/spy";
import { ModuleMocker } from "jest-mock";
import sinon from "sinon";
import { createWebStorage } from "webstorage-client";
import { serverPath } from "../paths.mjs";

const METHODS = ["getItem", "setItem", "removeItem", "clear", "key"];
const jest = new ModuleMocker(globalThis);

// Each library's way to watch a method, to replace one, to replace a getter, and to make a function of its kind.
const libraries = {
  Jest: {
    watch: (object, name) => seen(jest.spyOn(object, name)),
    replace: (object, name, action) => seen(jest.spyOn(object, name).mockImplementation(action)),
    getter: (object, name, action) => seen(jest.spyOn(object, name, "get").mockImplementation(action)),
    make: () => jest.fn(),
    restoreAll: () => jest.restoreAllMocks(),
  },
  Vitest: {
    watch: (object, name) => seen(vitest.spyOn(object, name)),
    replace: (object, name, action) => seen(vitest.spyOn(object, name).mockImplementation(action)),
    getter: (object, name, action) => seen(vitest.spyOn(object, name, "get").mockImplementation(action)),
    make: () => vitest.fn(),
    restoreAll: () => vitest.restoreAllMocks(),
  },
  Sinon: {
    watch: (object, name) => stubbed(sinon.spy(object, name)),
    replace: (object, name, action) => stubbed(sinon.stub(object, name).callsFake(action)),
    make: () => sinon.fake(),
    restoreAll: () => sinon.restore(),
  },
  // Sinon leaves the spy of an inherited accessor on any object, so that reset() has to take it off.
  "Sinon's spies of accessors": {
    getter: (object, name) => {
      const spy = sinon.spy(object, name, ["get"]);
      return { calls: () => spy.get.callCount, restore: (storage) => storage.reset() };
    },
    restoreAll: () => sinon.restore(),
  },
  "node:test": {
    watch: (object, name) => counted(mock.method(object, name)),
    replace: (object, name, action) => counted(mock.method(object, name, action)),
    getter: (object, name, action) => counted(mock.getter(object, name, action)),
    make: () => mock.fn(),
    restoreAll: () => mock.restoreAll(),
  },
};
function seen(spy) {
  return { calls: () => spy.mock.calls.length, restore: () => spy.mockRestore() };
}
function stubbed(spy) {
  return { calls: () => spy.callCount, restore: () => spy.restore() };
}
function counted(spy) {
  return { calls: () => spy.mock.callCount(), restore: () => spy.mock.restore() };
}

for (const mode of ["mirrored", "direct"]) {
  const open = (t, options = {}) => {
    const storage = createWebStorage({ mode, server: serverPath(), ...options });
    t.after(() => storage.close());
    return storage;
  };
  function assertUntouched({ localStorage, Storage }, items) {
    for (const name of METHODS) assert.equal(localStorage[name], Storage.prototype[name], name);
    assert.deepEqual(Reflect.ownKeys(localStorage), items);
    for (const name of [...METHODS, "length"]) assert.equal(localStorage.getItem(name), null, name);
  }

  for (const [library, { watch, replace, getter, make, restoreAll }] of Object.entries(libraries)) {
    describe(`${mode} storage with the mocks of ${library}`, () => {
      for (const place of ["object", "prototype"]) {
        const on = ({ localStorage, Storage }) => (place === "object" ? localStorage : Storage.prototype);

        if (watch !== undefined) {
          test(`every method of the ${place} can be watched, again and again`, (t) => {
            const storage = open(t, { seed: { a: "1" } });
            const { localStorage, sessionStorage } = storage;
            for (const name of [...METHODS, ...METHODS]) {
              const spy = watch(on(storage), name);
              localStorage[name]("a", "1");
              sessionStorage[name]("a", "1");
              assert.equal(spy.calls(), place === "object" ? 1 : 2, name);
              assert.ok(!Object.keys(localStorage).includes(name), "no enumeration shows a mock");
              spy.restore();
              localStorage.setItem("a", "1");
              assertUntouched(storage, ["a"]);
            }
          });

          test(`a method of the ${place} can be replaced`, (t) => {
            const storage = open(t);
            const spy = replace(on(storage), "getItem", () => "replaced");
            assert.equal(storage.localStorage.getItem("a"), "replaced");
            assert.equal("getItem" in storage.localStorage, true);
            restoreAll();
            assert.equal(spy.calls(), 1);
            assertUntouched(storage, []);
          });
        }

        // Of an accessor, Sinon asks for the getter itself.
        if (getter !== undefined) {
          test(`length of the ${place} can be replaced`, (t) => {
            if (library.startsWith("Sinon") && place === "prototype") return;
            const storage = open(t, { seed: { a: "1" } });
            const spy = getter(on(storage), "length", () => 7);
            const { length } = storage.localStorage;
            assert.equal(spy.calls(), 1);
            assert.equal(length, library.startsWith("Sinon") ? 1 : 7);
            spy.restore(storage);
            assert.equal(storage.localStorage.length, 1);
            assertUntouched(storage, ["a"]);
          });
        }
      }

      if (watch !== undefined) {
        test("reset takes the mocks of all areas off, and restoring them later stores nothing", (t) => {
          const storage = open(t, { seed: { a: "1" } });
          const spies = [watch(storage.localStorage, "getItem"), replace(storage.localStorage, "clear", () => undefined), watch(storage.sessionStorage, "setItem")];
          storage.reset();
          assertUntouched(storage, ["a"]);
          assert.equal(storage.sessionStorage.setItem, storage.Storage.prototype.setItem);
          for (const spy of spies) spy.restore();
          restoreAll();
          assertUntouched(storage, ["a"]);
          const again = watch(storage.localStorage, "getItem");
          storage.localStorage.getItem("a");
          assert.equal(again.calls(), 1);
          again.restore();
          assertUntouched(storage, ["a"]);
        });

        test("a function of the library can be assigned, and the original put back", (t) => {
          const storage = open(t);
          const { localStorage } = storage;
          const original = localStorage.setItem;
          localStorage.setItem = make();
          localStorage.setItem("a", "1");
          assert.equal(localStorage.length, 0);
          localStorage.setItem = original;
          localStorage.setItem = original;
          assertUntouched(storage, []);
        });

        test("it is an item where no member has the name, and everywhere in a strict storage", (t) => {
          const { localStorage } = open(t);
          const made = make();
          for (const name of ["other", "__proto__", "length"]) {
            localStorage[name] = made;
            assert.equal(localStorage.getItem(name), String(made));
          }
          const strict = open(t, { strict: true });
          strict.localStorage.getItem = made;
          assert.equal(strict.localStorage.getItem("getItem"), String(made));
        });
      }
    });
  }

  test(`${mode}: what is put on the name of a member is an item`, (t) => {
    const { localStorage, Storage } = open(t);
    const values = ["x", 1, null, undefined, {}, () => "spy", function named() {}, class {}, Object.assign(() => 1, { mock: {}, restore() {} })];
    for (const name of [...METHODS, "length", "constructor", "toString", "hasOwnProperty", "__proto__"]) {
      for (const put of [(value) => (localStorage[name] = value), (value) => Object.defineProperty(localStorage, name, { value })]) {
        for (const value of values) {
          const before = localStorage[name];
          put(value);
          assert.equal(Reflect.apply(Storage.prototype.getItem, localStorage, [name]), String(value), name);
          // The number of items is another one now.
          if (name !== "length") assert.equal(localStorage[name], before, name);
          assert.deepEqual([Object.hasOwn(localStorage, name), Reflect.ownKeys(localStorage)], [false, []]);
          localStorage.removeItem(name);
        }
      }
    }
    const own = localStorage.getItem;
    localStorage.getItem = own;
    assert.equal(localStorage.getItem("getItem"), String(own), "nothing was replaced, so nothing is put back");
    assert.equal(Object.getPrototypeOf(localStorage), Storage.prototype);
  });

  test(`${mode}: a mock of another realm is one too`, (t) => {
    const { localStorage } = open(t);
    localStorage.getItem = runInNewContext("Object.assign(() => 'mocked', { _isMockFunction: true })");
    assert.equal(localStorage.getItem("a"), "mocked");
    delete localStorage.getItem;
    assert.equal(localStorage.getItem("a"), null);
  });
}
