import { readSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { createWebStorage } from "webstorage-client";
import { openEnvironment } from "webstorage-client/environment";

const require = createRequire(import.meta.url);
const client = require.resolve("webstorage-client");
const { startFifoProcess } = require(client.replace(/index\.js$/, "fifo-process.js"));

function median(numbers) {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1];
}

/** Alternates blocks of round trips of two kinds, so that both meet the same machine; medians in µs. */
function alternate(kinds) {
  const times = kinds.map(() => []);
  for (let block = 0; block < 40; block++) {
    kinds.forEach((roundTrip, kind) => {
      for (let n = 0; n < 250; n++) {
        const start = performance.now();
        roundTrip();
        times[kind].push((performance.now() - start) * 1000);
      }
    });
  }
  return times.map(median);
}

/** The blocking round trip of a direct getItem, and that of a line of its length to `cat` the same way. */
export function measureDirect() {
  const storage = createWebStorage({ mode: "direct" });
  storage.localStorage.setItem("key", "v".repeat(100));
  const echo = startFifoProcess("cat", []);
  const line = Buffer.from(`${"x".repeat(140)}\n`);
  const buffer = Buffer.allocUnsafe(64 * 1024);
  const [getItem, echoed] = alternate([
    () => storage.localStorage.getItem("key"),
    () => {
      writeSync(echo.input, line);
      readSync(echo.blockingOutput, buffer);
    },
  ]);
  storage.close();
  echo.close();
  return { getItem, echo: echoed };
}

/** What it costs to give a test file its storage, up to the first item, in ms. */
export function measureSetUp() {
  const setUp = (options) => {
    const start = performance.now();
    const environment = openEnvironment({ global: {} }, options);
    environment.webStorage.localStorage.setItem("a", "1");
    const took = performance.now() - start;
    environment.close();
    return took;
  };
  const repeated = (options) => median(Array.from({ length: 20 }, () => setUp(options)));
  return { first: setUp({}), next: repeated({}), started: repeated({ temporaryDir: true }) };
}
