// A process of rounds.test.mjs: opens, changes, reads and closes a storage as it is told, and answers each order.
import { createWebStorage } from "webstorage-client";

let storage;

const orders = {
  // Nothing is started by this; the first change or look starts it, beside those of the other processes.
  open: (options) => void (storage = createWebStorage(options)),
  change(changes) {
    const { localStorage } = storage;
    for (const [method, ...args] of changes) localStorage[method](...args);
    return null;
  },
  flush: () => storage.flush(),
  entries: () => storage.snapshot().localStorage,
  close() {
    storage?.close();
    storage = undefined;
  },
  end: () => process.exit(),
};

process.on("message", ([order, argument]) => {
  try {
    process.send({ value: orders[order](argument) ?? null });
  } catch (error) {
    process.send({ error: `${error.name}: ${error.message}` });
  }
});
process.on("disconnect", () => process.exit());
process.send("ready");
