import { StorageFailure } from "./failure.js";
import { FIELD, statOf } from "./proc.js";
import { hostname, kill, lstatSync, mkdtempSync, readdirSync, readFile, readlinkSync, resolve, rmdirSync, statSync, tmpdir, unlinkSync } from "./runtime.js";
import { sleep } from "./sleep.js";

// A temporary directory that is full must not make the start of a storage slow. In bytes, of which an entry takes some tens.
const LARGEST = 1024 * 1024;
const REMOVALS = 100;
// A server that was told to end may still be at work in its directory, in milliseconds between attempts.
const PAUSE = 20;
const ATTEMPTS = 10;
const UNKNOWN = "0";
const NAME = /^webstorage-(?:test|fifos)-([\w.]+)-(\d+)-(\d+)-\w+$/;

/** What a throw-away directory is for. */
export type Purpose = "test" | "fifos";

/**
 * Where process ids mean the same processes: a machine since its start, and in it a namespace. Containers and
 * machines that share a temporary directory cannot see each other's processes, and leave each other's directories alone.
 */
function processSpace(): string | undefined {
  if (process.platform !== "linux") return hostname().replace(/\W/g, "") || undefined;
  try {
    if (readlinkSync("/proc/self") !== String(process.pid)) return undefined;
    const boot = readFile("/proc/sys/kernel/random/boot_id").toString("latin1", 0, 8);
    const namespace = /\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0];
    return namespace === undefined ? undefined : `${boot}.${namespace}`;
  } catch {
    return undefined;
  }
}

/** Whether no process has this id, or another one that was started at another time. */
function isGone(pid: number, start: string): boolean {
  try {
    kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
  const present = statOf(pid)?.(FIELD.startTime);
  return start !== UNKNOWN && present !== undefined && present !== start;
}

/** Removes a directory and all that is in it. Node's own `rmSync` uses other functions of `fs`, which a test may have replaced. */
function removeTree(path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isDirectory()) return unlinkSync(path);
  for (const name of readdirSync(path)) removeTree(resolve(path, name));
  rmdirSync(path);
}

function removeAbandoned(parent: string, space: string): void {
  // Reading it piece by piece would leave a handle to the garbage collector, which tests that look for leaks take for one.
  if (statSync(parent).size > LARGEST) return;
  let removals = 0;
  for (const name of readdirSync(parent)) {
    const [, where, pid, start] = NAME.exec(name) ?? [];
    if (where !== space || !isGone(Number(pid), start)) continue;
    const path = resolve(parent, name);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory() !== true || stat.uid !== process.getuid?.()) continue;
    removeTree(path);
    if (++removals === REMOVALS) return;
  }
}

let tidied = false;

/**
 * Makes a directory that only this process needs, in the temporary directory. What is ended by a signal, or as a
 * thread in the middle of its work, cannot remove it. So its name says whose it is, and the next process that
 * makes one removes those whose process is gone.
 */
export function makeThrowaway(purpose: Purpose): string {
  const parent = tmpdir();
  const space = processSpace();
  if (!tidied && space !== undefined) {
    tidied = true;
    try {
      removeAbandoned(parent, space);
    } catch {
      // Another process may be removing the same ones, and whoever comes next finds what is left.
    }
  }
  const start = statOf(process.pid)?.(FIELD.startTime) ?? UNKNOWN;
  try {
    return mkdtempSync(resolve(parent, `webstorage-${purpose}-${space ?? "unknown"}-${process.pid}-${start}-`));
  } catch (error) {
    throw new StorageFailure("UnknownError", `No directory could be made in ${parent} (${(error as Error).message}). Nothing was stored. Name another one in TMPDIR.`);
  }
}

/** Removes such a directory; if it cannot be removed now, another process does it later. */
export function removeThrowaway(path: string, attempts = ATTEMPTS): void {
  try {
    removeTree(path);
  } catch {
    if (attempts > 1) {
      sleep(PAUSE);
      removeThrowaway(path, attempts - 1);
    }
    // It is of no harm where it is.
  }
}
