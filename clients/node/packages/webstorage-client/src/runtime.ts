// What this package uses of the runtime, as it was when the package was loaded. Tests replace functions of these
// modules and globals, and count their calls; neither is meant for the storage.
import { AsyncResource } from "node:async_hooks";
import childProcess from "node:child_process";
import fs from "node:fs";
import module from "node:module";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import perfHooks from "node:perf_hooks";
import vm from "node:vm";
import workerThreads from "node:worker_threads";

type Timers = Pick<typeof globalThis, "setTimeout" | "clearTimeout" | "setInterval" | "clearInterval" | "setImmediate" | "clearImmediate" | "queueMicrotask">;

// Jest runs tests, and what they load, in a realm whose timers are fake from its start if the configuration says
// so. Those of the first realm are not.
const first = vm.runInThisContext("globalThis") as Timers;

/** The real one of a global function, also when a library of fake timers has replaced it, which keeps it for later. */
function real<Name extends keyof Timers>(name: Name): Timers[Name] {
  const { clock } = first[name] as { clock?: Record<string, unknown> };
  return (clock?.[`_${name}`] as Timers[Name] | undefined) ?? first[name];
}

function take() {
  const { performance } = perfHooks;
  return {
    accessSync: fs.accessSync,
    closeSync: fs.closeSync,
    fstatSync: fs.fstatSync,
    fsyncSync: fs.fsyncSync,
    lstatSync: fs.lstatSync,
    mkdtempSync: fs.mkdtempSync,
    openSync: fs.openSync,
    readdirSync: fs.readdirSync as (path: string) => string[],
    readlinkSync: fs.readlinkSync,
    readSync: fs.readSync,
    renameSync: fs.renameSync,
    rmdirSync: fs.rmdirSync,
    statSync: fs.statSync,
    unlinkSync: fs.unlinkSync,
    writeSync: fs.writeSync,
    spawn: childProcess.spawn,
    spawnSync: childProcess.spawnSync,
    Socket: net.Socket,
    hostname: os.hostname,
    tmpdir: os.tmpdir,
    resolve: path.resolve,
    createRequire: module.createRequire,
    isContext: vm.isContext,
    runInContext: vm.runInContext,
    Worker: workerThreads.Worker,
    setTimeout: real("setTimeout"),
    clearTimeout: real("clearTimeout"),
    setInterval: real("setInterval"),
    clearInterval: real("clearInterval"),
    setImmediate: real("setImmediate"),
    clearImmediate: real("clearImmediate"),
    queueMicrotask: real("queueMicrotask"),
    /** Milliseconds of a clock that only goes forward. */
    now: performance.now.bind(performance),
    cwd: process.cwd.bind(process),
    kill: process.kill.bind(process),
    onProcess: process.on.bind(process),
    emitWarning: process.emitWarning.bind(process) as (message: string, name: string) => void,
  };
}

// Realms share the objects of Node's modules, but each has copies of this package. What the first realm has taken
// serves those that come later, when a test may have replaced functions already.
const TAKEN = Symbol.for("webstorage-client.runtime");
const shared = first as { [TAKEN]?: ReturnType<typeof take> };
const taken = { ...take(), ...shared[TAKEN] };
if (first === globalThis) Object.defineProperty(first, TAKEN, { value: taken, configurable: true });

export const {
  accessSync,
  closeSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  renameSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writeSync,
  spawn,
  spawnSync,
  Socket,
  hostname,
  tmpdir,
  resolve,
  createRequire,
  isContext,
  runInContext,
  Worker,
  setTimeout,
  clearTimeout,
  setInterval,
  clearInterval,
  setImmediate,
  clearImmediate,
  queueMicrotask,
  now,
  cwd,
  kill,
  onProcess,
  emitWarning,
} = taken;

// What these make belongs to the realm of the one who asked.
export const { parse: fromJson, stringify: toJson } = JSON;

/** The content of a file. Node's own `readFileSync` uses other functions of `fs`, which a test may have replaced. */
export function readFile(path: string): Buffer {
  const descriptor = openSync(path, "r");
  try {
    const parts: Buffer[] = [];
    for (;;) {
      const part = Buffer.allocUnsafe(64 * 1024);
      const length = readSync(descriptor, part, 0, part.length, null);
      if (length === 0) return Buffer.concat(parts);
      parts.push(part.subarray(0, length));
    }
  } finally {
    closeSync(descriptor);
  }
}

const nobody = new AsyncResource("webstorage-client", { requireManualDestroy: true });

/**
 * Runs an action outside of the asynchronous context of its caller. What outlives the caller must not keep that
 * context, nor all that it leads to, nor hand it to the listeners of other programs.
 */
export function outOfContext<T>(action: () => T): T {
  return nobody.runInAsyncScope(action);
}
