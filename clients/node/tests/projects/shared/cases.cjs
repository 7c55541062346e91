"use strict";
// The same expectations for every test runner. A runner's file gives its `test`, its way to spy, and
// the way to the storage of the environment.
const assert = require("node:assert/strict");

/** Waits until an event target has told of `count` storage events. */
function events(target, count) {
  return new Promise((resolve) => {
    const seen = [];
    target.addEventListener("storage", function listener(event) {
      if (seen.push(event) < count) return;
      target.removeEventListener("storage", listener);
      resolve(seen);
    });
  });
}

module.exports = function defineCases({ test, spyOn, currentWebStorage, file, spiesOnObjects = true }) {
  test("the file starts with the seed and nothing else", () => {
    assert.equal(localStorage.length, 1);
    assert.equal(localStorage.getItem("seeded"), "yes");
    assert.equal(sessionStorage.length, 0);
    localStorage.setItem("leak", file);
    sessionStorage.setItem("leak", file);
    localStorage.removeItem("seeded");
  });

  test("each test starts with the seed", () => {
    assert.equal(localStorage.getItem("leak"), null);
    assert.equal(sessionStorage.getItem("leak"), null);
    assert.deepEqual(Object.keys(localStorage), ["seeded"]);
  });

  test("classes and errors belong to the realm of the test", () => {
    assert.ok(localStorage instanceof Storage);
    assert.equal(Object.getPrototypeOf(localStorage), Storage.prototype);
    assert.ok(Storage instanceof Function);
    assert.throws(() => new Storage(), TypeError);
    assert.throws(() => localStorage.getItem(), TypeError);
    assert.throws(() => Storage.prototype.getItem.call({}, "a"), TypeError);
    assert.ok(new StorageEvent("storage") instanceof Event);
  });

  test("a spy on the prototype sees the calls of both areas", () => {
    const spy = spyOn(Storage.prototype, "setItem");
    localStorage.setItem("a", "1");
    sessionStorage.setItem("b", "2");
    assert.equal(spy.count(), 2);
    spy.restore();
    localStorage.setItem("a", "3");
    assert.equal(spy.count(), 2);
    assert.equal(localStorage.getItem("a"), "3");
  });

  test("a spy on an object sees its calls, and leaves no item behind", () => {
    const spy = spyOn(spiesOnObjects ? localStorage : Storage.prototype, "getItem");
    localStorage.setItem("a", "1");
    assert.equal(localStorage.getItem("a"), "1");
    if (spiesOnObjects) sessionStorage.getItem("a");
    assert.equal(spy.count(), 1);
    spy.restore();
    assert.equal(localStorage.getItem, Storage.prototype.getItem);
    assert.deepEqual(Object.keys(localStorage), ["seeded", "a"]);
    assert.deepEqual(Reflect.ownKeys(localStorage), ["seeded", "a"]);
  });

  test("the quota is exact", () => {
    const left = 2000 / 2 - "seededyes".length;
    localStorage.setItem("k", "x".repeat(left - 1));
    assert.throws(
      () => localStorage.setItem("k", "x".repeat(left)),
      (error) => error instanceof DOMException && error instanceof QuotaExceededError && error.name === "QuotaExceededError" && error.code === 22,
    );
    assert.equal(localStorage.getItem("k").length, left - 1);
  });

  test("failures on demand happen once and elsewhere nothing happens", () => {
    currentWebStorage().failNext("setItem", "QuotaExceededError", { key: "a" });
    localStorage.setItem("b", "fine");
    assert.throws(() => localStorage.setItem("a", "1"), QuotaExceededError);
    localStorage.setItem("a", "2");
    assert.equal(localStorage.getItem("a"), "2");
    currentWebStorage().failNext("getItem", "SecurityError", { area: "localStorage" });
  });

  test("a failure that was not used up is gone", () => {
    assert.equal(localStorage.getItem("a"), null);
  });

  test("snapshots come back", () => {
    localStorage.setItem("a", "1");
    const snapshot = currentWebStorage().snapshot();
    localStorage.clear();
    localStorage.setItem("b", "2");
    currentWebStorage().restore(snapshot);
    assert.deepEqual(Object.entries(localStorage), [["seeded", "yes"], ["a", "1"]]);
  });

  test("two windows hear of each other and not of themselves", async () => {
    const storage = currentWebStorage();
    const url = `${storage.origin}/other`;
    const other = storage.openWindow({ url });
    const here = events(globalThis, 1);
    const there = events(other.target, 1);
    localStorage.setItem("from", "here");
    const [heardThere] = await there;
    assert.equal(heardThere.storageArea, other.localStorage);
    assert.equal(heardThere.newValue, "here");
    other.localStorage.setItem("from", "there");
    const [event] = await here;
    assert.ok(event instanceof StorageEvent);
    assert.deepEqual([event.key, event.oldValue, event.newValue, event.url], ["from", "here", "there", url]);
    assert.equal(event.storageArea, localStorage);
    assert.equal(localStorage.getItem("from"), "there");
  });

  test("a window that is opened has a copy of the session", () => {
    sessionStorage.setItem("tab", "1");
    const other = currentWebStorage().openWindow();
    sessionStorage.setItem("tab", "2");
    assert.equal(other.sessionStorage.getItem("tab"), "1");
  });

  test("zustand's persist stores and comes back", async () => {
    const { createStore } = require("zustand/vanilla");
    const { createJSONStorage, persist } = require("zustand/middleware");
    const state = (set) => ({ bears: 0, add: () => set((before) => ({ bears: before.bears + 1 })) });
    const create = () => createStore(persist(state, { name: "bears", storage: createJSONStorage(() => localStorage) }));
    create().getState().add();
    assert.equal(JSON.parse(localStorage.getItem("bears")).state.bears, 1);
    assert.equal(create().getState().bears, 1);
  });
};
