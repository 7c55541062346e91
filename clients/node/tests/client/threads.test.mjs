// Storage in worker threads, whose end must not be felt by the others.
import assert from "node:assert/strict";
import { closeSync, fstatSync, openSync, statSync } from "node:fs";
import { describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import { fileURLToPath } from "node:url";
import { createWebStorage } from "webstorage-client";
import { serverPath } from "../paths.mjs";
import { temporaryDirectory } from "./processes.mjs";

const DESCRIPTORS = 64;

/** Runs a module in a thread; `meanwhile` is called when it posts its first message, and answered to it. */
async function runThread(source, meanwhile) {
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`));
  worker.on("message", (message) => worker.postMessage(meanwhile(message)));
  await new Promise((resolve, reject) => worker.on("error", reject).on("exit", resolve));
}

describe("a thread that ends closes no file of another", () => {
  for (const mode of ["mirrored", "direct"]) {
    test(`${mode} storage`, async () => {
      const path = fileURLToPath(import.meta.url);
      const opened = [];
      const source = `
        import { parentPort } from "node:worker_threads";
        import { createWebStorage } from ${JSON.stringify(import.meta.resolve("webstorage-client"))};
        const storage = createWebStorage({ mode: "${mode}", server: ${JSON.stringify(serverPath())} });
        storage.sessionStorage.setItem("key", "value");
        storage.close();
        parentPort.once("message", () => {});
        parentPort.postMessage("closed");
      `;
      // What is opened once the storage is closed has the numbers that were its own.
      await runThread(source, () => {
        for (let n = 0; n < DESCRIPTORS; n++) opened.push(openSync(path, "r"));
      });
      const { ino } = statSync(path);
      assert.equal(opened.length, DESCRIPTORS);
      for (const descriptor of opened) {
        assert.equal(fstatSync(descriptor).ino, ino);
        closeSync(descriptor);
      }
    });
  }
});

for (const mode of ["mirrored", "direct"]) {
  test(`${mode}: the changes of another arrive in a thread as events, in order, each once`, async (t) => {
    const options = { storageDir: temporaryDirectory(), server: serverPath() };
    const other = createWebStorage({ ...options, mode: "direct" });
    t.after(() => other.close());
    const count = 3000;
    const source = `
      import { parentPort } from "node:worker_threads";
      import { createWebStorage } from ${JSON.stringify(import.meta.resolve("webstorage-client"))};
      const storage = createWebStorage({ mode: "${mode}", ...${JSON.stringify(options)} });
      let next = 0;
      storage.target.addEventListener("storage", ({ newValue }) => {
        if (newValue !== String(next++)) throw new Error(newValue + " came as number " + (next - 1));
        if (next === ${count}) parentPort.close();
      });
      parentPort.on("message", () => {});
      parentPort.postMessage(storage.localStorage.length);
    `;
    await runThread(source, () => {
      for (let n = 0; n < count; n++) other.localStorage.setItem("n", String(n));
    });
    assert.equal(other.localStorage.getItem("n"), String(count - 1));
  });
}
