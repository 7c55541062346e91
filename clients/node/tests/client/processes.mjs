import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { serverPath } from "../paths.mjs";

const peer = fileURLToPath(new URL("peer.mjs", import.meta.url));

const directories = [];
// Servers of other processes may still be at work in a directory when its test is over.
process.on("exit", () => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });
});

/** A directory that is removed at the end of the test file. */
export function temporaryDirectory() {
  directories.push(mkdtempSync(join(tmpdir(), "webstorage-tests-")));
  return directories.at(-1);
}

/** Runs the text of a module in a process of its own, to its end. */
export function runModule(source, { killAt, signal = "SIGKILL", ...environment } = {}) {
  const args = "Deno" in globalThis ? ["eval", "--node-modules-dir=manual", source] : ["--input-type=module", "-e", source];
  const child = spawn(process.execPath, args, {
    cwd: fileURLToPath(new URL(".", import.meta.url)),
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, WEBSTORAGE_SERVER: serverPath(), ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  return new Promise((resolve) => {
    let output = "";
    let errors = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      output += text;
      if (killAt !== undefined && output.includes(killAt)) child.kill(signal);
    });
    child.stderr.setEncoding("utf8").on("data", (text) => (errors += text));
    child.on("close", (code, signal) => resolve({ code, signal, output, errors }));
  });
}

/**
 * Another process with a storage of its own. `evaluate` runs an expression there with `storage`,
 * `localStorage` and the list `heard` of storage events in scope, and resolves to its JSON value.
 */
export async function startPeer(t, options) {
  const child = spawn(process.execPath, [peer, JSON.stringify({ server: serverPath(), ...options })], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  t.after(() => child.kill("SIGKILL"));
  await new Promise((resolve) => child.once("message", resolve));
  return {
    child,
    evaluate(expression) {
      return new Promise((resolve, reject) => {
        child.once("message", ({ value, error }) => (error === undefined ? resolve(value) : reject(new Error(error))));
        child.send(expression);
      });
    },
  };
}

/** Whether a process exists. */
export function exists(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Resolves when a condition holds, which is looked at in every turn of the event loop; rejects after 10 s. */
export function until(condition, what = "the condition") {
  const end = performance.now() + 10_000;
  return new Promise((resolve, reject) => {
    (function look() {
      if (condition()) resolve();
      else if (performance.now() > end) reject(new Error(`${what} did not come about`));
      else setImmediate(look);
    })();
  });
}
