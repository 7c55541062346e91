// Measures one storage in this process: `subject.mjs NAME`. Prints the results as JSON.
import { measure } from "./workload.mjs";

const [name] = (globalThis.process?.argv ?? []).slice(2);
const COUNTS = [100, 10_000];

/** What a Map does when nobody asks it to be a Storage. */
class MapStorage extends Map {
  getItem(key) {
    return this.get(key) ?? null;
  }
  setItem(key, value) {
    this.set(key, value);
  }
  removeItem(key) {
    this.delete(key);
  }
  get length() {
    return this.size;
  }
  key(index) {
    let n = 0;
    for (const key of this.keys()) if (n++ === index) return key;
    return null;
  }
}

async function ours(mode, directory) {
  const { createWebStorage } = await import("webstorage-client");
  const storage = createWebStorage({ mode, ...(directory === undefined ? {} : { storageDir: directory }), quota: 100_000_000 });
  return { storage: storage.localStorage, end: () => storage.close(), flush: () => storage.flush() };
}

async function temporary() {
  const { mkdtempSync, rmSync } = await import("node:fs");
  const { tmpdir } = await import("node:os");
  const { join } = await import("node:path");
  const directory = mkdtempSync(join(tmpdir(), "webstorage-bench-"));
  globalThis.process.on("exit", () => rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));
  return directory;
}

const subjects = {
  "mirrored, memory": () => ours("mirrored"),
  "mirrored, directory": async () => ours("mirrored", await temporary()),
  "direct, memory": () => ours("direct"),
  "direct, directory": async () => ours("direct", await temporary()),
  jsdom: async () => {
    const { JSDOM } = await import("jsdom");
    return { storage: new JSDOM("", { url: "http://localhost/", storageQuota: 100_000_000 }).window.localStorage };
  },
  "happy-dom": async () => {
    const { Window } = await import("happy-dom");
    return { storage: new Window({ url: "http://localhost/" }).localStorage };
  },
  "node-localstorage": async () => {
    const { LocalStorage } = await import("node-localstorage");
    return { storage: new LocalStorage(await temporary(), 100_000_000), counts: [100] };
  },
  Map: () => ({ storage: new MapStorage() }),
  "built-in local": () => ({ storage: globalThis.localStorage }),
  "built-in session": () => ({ storage: globalThis.sessionStorage }),
};

const { storage, end, flush, counts = COUNTS } = await subjects[name]();
const results = {};
for (const count of counts) {
  results[count] = measure(storage, count);
  if (flush !== undefined) {
    flush();
    const keys = Array.from({ length: 20_000 }, (_, n) => `key-${n % count}`.padEnd(20, "."));
    const start = performance.now();
    keys.forEach((key, n) => storage.setItem(key, `${n}`.padEnd(100, "w")));
    flush();
    results[count]["setItem, confirmed"] = ((performance.now() - start) * 1e6) / keys.length;
  }
}
end?.();
console.log(JSON.stringify(results));
globalThis.process?.exit?.(0);
