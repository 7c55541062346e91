import { Worker } from "./runtime.js";

/** Kills a server that leaves a blocked caller without an answer. */
export interface Watch {
  /** To be called before a read that blocks. */
  enter(): void;
  /** To be called after it. */
  leave(): void;
  /** True when the server was killed for its silence. */
  readonly fired: boolean;
  /** Ends the watch; the process id may belong to another process from now on. */
  end(): void;
}

const ENTERED = 0;
const STATE = 1;
const WATCHING = 0;
const FIRED = 1;
const ENDED = 2;

// This runs in a thread of its own, since the thread it watches over is blocked when it is needed.
const WATCHER = `
const { parentPort } = require("node:worker_threads");
const watches = new Set();
let period = Infinity;
let timer;
function look() {
  for (const watch of watches) {
    if (Atomics.load(watch.cells, ${STATE}) !== ${WATCHING}) watches.delete(watch);
    const entered = Atomics.load(watch.cells, ${ENTERED});
    if (entered % 2 === 0 || entered !== watch.entered) {
      watch.entered = entered;
      watch.since = performance.now();
    } else if (performance.now() - watch.since >= watch.timeout) {
      if (Atomics.compareExchange(watch.cells, ${STATE}, ${WATCHING}, ${FIRED}) !== ${WATCHING}) continue;
      try {
        process.kill(watch.pid, "SIGKILL");
      } catch {
        // The server ended by itself, which unblocks the caller as well.
      }
    }
  }
}
parentPort.on("message", ({ cells, pid, timeout }) => {
  watches.add({ cells: new Int32Array(cells), pid, timeout, entered: 0, since: performance.now() });
  if (timeout / 8 >= period) return;
  period = timeout / 8;
  clearInterval(timer);
  timer = setInterval(look, Math.max(10, period));
});
`;

let watcher: InstanceType<typeof Worker> | undefined;

/**
 * Watches a server: when a caller stays between `enter` and `leave` for longer than `timeout`
 * milliseconds, the server is killed, so that the blocked read ends with an end of file.
 */
export function watch(pid: number, timeout: number): Watch {
  if (watcher === undefined) {
    // With an output of its own the thread leaves that of the process untouched, which opens it at its first use.
    watcher = new Worker(WATCHER, { eval: true, execArgv: [], env: {}, name: "webstorage-watchdog", stdout: true, stderr: true });
    watcher.on("error", () => undefined);
    watcher.unref();
  }
  const shared = new SharedArrayBuffer(8);
  const cells = new Int32Array(shared);
  watcher.postMessage({ cells: shared, pid, timeout });
  let entered = 0;
  return {
    enter() {
      Atomics.store(cells, ENTERED, (entered = (entered + 1) | 0));
    },
    leave() {
      Atomics.store(cells, ENTERED, (entered = (entered + 1) | 0));
    },
    get fired() {
      return Atomics.load(cells, STATE) === FIRED;
    },
    end() {
      Atomics.compareExchange(cells, STATE, WATCHING, ENDED);
    },
  };
}
