// An end of the process, however it comes, loses nothing that was written before it.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createWebStorage } from "webstorage-client";
import { serverPath } from "../paths.mjs";
import { runModule, temporaryDirectory } from "./processes.mjs";

const COUNT = 3000;

function program(storageDir, end, mode = "mirrored") {
  return `
    import { createWebStorage } from "webstorage-client";
    const storage = createWebStorage({ storageDir: ${JSON.stringify(storageDir)}, mode: "${mode}" });
    for (let n = 0; n < ${COUNT}; n++) storage.localStorage.setItem("k" + n, "v".repeat(100) + n);
    ${end}
  `;
}

async function assertComplete(storageDir) {
  const storage = createWebStorage({ storageDir, mode: "direct", server: serverPath() });
  try {
    assert.equal(storage.localStorage.length, COUNT);
    for (const n of [0, 1, COUNT - 1]) assert.equal(storage.localStorage.getItem(`k${n}`), "v".repeat(100) + n);
  } finally {
    storage.close();
  }
}

describe("mirrored writes outlive", () => {
  for (const [name, end, code] of [
    ["the natural end of the program", "", 0],
    ["close", "storage.close();", 0],
    ["process.exit in the middle of a script", "process.exit(3);", 3],
    ["an uncaught exception", "throw new Error('on purpose');", 1],
    ["an unhandled rejection", "Promise.reject(new Error('on purpose'));", 1],
    ["the end of a worker thread", "", 0],
  ]) {
    test(name, async (t) => {
      const storageDir = temporaryDirectory();
      const source = program(storageDir, end);
      const inWorker = `
        import { Worker } from "node:worker_threads";
        new Worker(new URL("data:text/javascript," + encodeURIComponent(${JSON.stringify(source.replace('"webstorage-client"', JSON.stringify(import.meta.resolve("webstorage-client"))))})));
      `;
      const result = await runModule(name.includes("worker") ? inWorker : source);
      assert.equal(result.code, code, result.errors);
      await assertComplete(storageDir);
    });
  }

  test("a kill of the process, once the script that wrote has ended its turn", async (t) => {
    const storageDir = temporaryDirectory();
    const end = `
      const wait = () => (process.stdout.write("idle"), setInterval(() => {}, 1000));
      // The answers of the server are what tells that the turn's writes have left this process.
      const look = () => (storage.pending === 0 ? wait() : setImmediate(look));
      look();
    `;
    const result = await runModule(program(storageDir, end), { killAt: "idle" });
    assert.equal(result.signal, "SIGKILL");
    await assertComplete(storageDir);
  });
});

describe("what handlers of the end store outlives it", () => {
  const ends = [
    ["the natural end of the program", "", 0],
    ["process.exit", "process.exit(3);", 3],
    ["process.exit in a handler of a signal", "process.on('SIGTERM', () => process.exit(3)); process.kill(process.pid, 'SIGTERM');", 3],
    ["an uncaught exception", "throw new Error('on purpose');", 1],
    ["an unhandled rejection", "Promise.reject(new Error('on purpose'));", 1],
    ["the end of a worker thread", "", 0],
    ["process.exit in a worker thread", "process.exit(3);", 0],
  ];
  const settings = [
    ["in a storage that was used before", "storage.localStorage.setItem('early', '1');"],
    ["in a storage that was not used before", ""],
  ];
  for (const [where, before] of settings) {
    for (const [name, end, code] of ends) {
      test(`${name}, ${where}`, async () => {
        const storageDir = temporaryDirectory();
        const source = `
          import { createWebStorage } from ${JSON.stringify(import.meta.resolve("webstorage-client"))};
          const open = () => createWebStorage({ storageDir: ${JSON.stringify(storageDir)}, quota: 1000 });
          const storage = open();
          ${before}
          let called = false;
          const handler = () => {
            if (called) return;
            called = true;
            storage.localStorage.setItem("gone", "1");
            storage.localStorage.clear();
            storage.localStorage.setItem("k", "1");
            storage.localStorage.setItem("k", "2");
            open().localStorage.setItem("l", "3");
            try {
              storage.localStorage.setItem("large", "x".repeat(1000));
            } catch ({ name }) {
              storage.localStorage.setItem(name, "4");
            }
          };
          process.on("exit", handler);
          // Deno has no exit for a program whose error nobody caught, but these.
          if ("Deno" in globalThis) for (const type of ["error", "unhandledrejection"]) addEventListener(type, handler);
          await new Promise((resolve) => setTimeout(resolve, 10));
          ${end}
          // Bun waits for nothing that comes in a turn of its own.
          setTimeout(() => undefined, 50);
        `;
        const inWorker = `
          import { Worker } from "node:worker_threads";
          new Worker(new URL("data:text/javascript," + encodeURIComponent(${JSON.stringify(source)})));
        `;
        const result = await runModule(name.includes("worker") ? inWorker : source);
        assert.equal(result.code, code, result.errors);
        const storage = createWebStorage({ storageDir, mode: "direct", server: serverPath() });
        try {
          assert.deepEqual(storage.snapshot().localStorage, [["k", "2"], ["l", "3"], ["QuotaExceededError", "4"]]);
        } finally {
          storage.close();
        }
      });
    }
  }
});

test("direct writes are confirmed when setItem returns, so a kill at any time loses none of them", async (t) => {
  const storageDir = temporaryDirectory();
  const source = `
    import { writeSync } from "node:fs";
    import { createWebStorage } from "webstorage-client";
    const { localStorage } = createWebStorage({ storageDir: ${JSON.stringify(storageDir)}, mode: "direct" });
    for (let n = 0; ; n++) {
      localStorage.setItem("n", String(n));
      writeSync(1, n + "\\n");
    }
  `;
  const { output, signal } = await runModule(source, { killAt: "\n200\n" });
  assert.equal(signal, "SIGKILL");
  const reported = Number(output.trimEnd().split("\n").at(-1));
  const storage = createWebStorage({ storageDir, mode: "direct", server: serverPath() });
  t.after(() => storage.close());
  assert.ok(Number(storage.localStorage.getItem("n")) >= reported - 1);
});
