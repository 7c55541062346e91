// More writes in one turn than the server keeps events for.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createWebStorage } from "webstorage-client";
import { serverPath } from "../paths.mjs";
import { startPeer, temporaryDirectory, until } from "./processes.mjs";

const COUNT = 30_000;

for (const [name, length] of [["many small writes", 100], ["many larger writes", 3000]]) {
  test(`${name} in one turn: the window hears nothing of them, and no old value comes back`, async (t) => {
    const storage = createWebStorage({ storageDir: temporaryDirectory(), server: serverPath() });
    t.after(() => storage.close());
    const heard = [];
    storage.target.addEventListener("storage", ({ key, newValue }) => heard.push([key, newValue]));
    const { localStorage } = storage;
    const text = "v".repeat(length);
    const count = (COUNT * 100) / length;
    for (let n = 0; n < count; n++) localStorage.setItem(`k${n % 10}`, text + n);
    localStorage.setItem("last", "1");
    storage.flush();
    const seen = new Set();
    // Events follow their answers at once; what this change causes comes after all of them.
    const other = storage.openWindow();
    other.localStorage.setItem("end", "1");
    const look = () => seen.add(localStorage.getItem("k9"));
    await until(() => (look(), heard.some(([key]) => key === "end")), "the event of the other window");
    for (let turn = 0; turn < 100; turn++) {
      await new Promise(setImmediate);
      look();
    }
    assert.deepEqual(heard, [["end", "1"]]);
    assert.deepEqual([...seen], [text + (count - 1)]);
  });
}

test("many writes in one turn reach another process each, in their order", async (t) => {
  const options = { storageDir: temporaryDirectory(), server: serverPath() };
  const peer = await startPeer(t, options);
  await peer.evaluate("localStorage.length");
  const storage = createWebStorage(options);
  t.after(() => storage.close());
  for (let n = 0; n < 500; n++) storage.localStorage.setItem("k", `${n}`);
  storage.flush();
  let values;
  for (const end = performance.now() + 10_000; performance.now() < end; ) {
    values = await peer.evaluate("heard.map(({ newValue }) => newValue)");
    if (values.length >= 500) break;
  }
  assert.deepEqual(values, Array.from({ length: 500 }, (_, n) => `${n}`));
});
