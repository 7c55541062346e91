import { NotJson, textIn } from "./json-file.js";
import { originOf } from "./origin.js";
import { closeSync, fromJson, fsyncSync, lstatSync, openSync, readlinkSync, renameSync, resolve, toJson, unlinkSync, writeSync } from "./runtime.js";

/** Items in key order. */
export type Entries = [key: string, value: string][];

/** The content of both areas of a document. */
export interface Snapshot {
  localStorage: Entries;
  sessionStorage: Entries;
}

/** What Playwright writes and reads, with `sessionStorage` added to each origin. */
export interface StorageState {
  cookies: unknown[];
  origins: { origin: string; localStorage: { name: string; value: string }[]; sessionStorage?: { name: string; value: string }[] }[];
}

type Items = Record<string, string> | Entries;

/**
 * What an area can start with: the path of a JSON file, Playwright's storageState, both areas by name,
 * or the items of `localStorage` as an object or as pairs.
 */
export type Seed = string | StorageState | { localStorage?: Items; sessionStorage?: Items } | Items;

function isEntry(value: unknown): value is [string, string] {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === "string" && typeof value[1] === "string";
}

/** Whether a value is a list of pairs of strings. */
export function isEntries(value: unknown): value is Entries {
  return Array.isArray(value) && value.every(isEntry);
}

/** One origin in a storageState, and what else somebody may have put there. */
type OriginState = StorageState["origins"][number];

function originOfEntry(entry: unknown): string | undefined {
  const { origin } = (typeof entry === "object" && entry !== null ? entry : {}) as { origin?: unknown };
  return typeof origin === "string" && (origin === "null" || URL.canParse(origin)) ? originOf(origin) : undefined;
}

/** A state with the items of one origin put into it. What it has besides them stays as it is. */
function mergedInto(base: Partial<StorageState>, own: OriginState): StorageState {
  const origins: OriginState[] = [];
  let placed = false;
  for (const entry of base.origins ?? []) {
    if (originOfEntry(entry) !== own.origin) {
      origins.push(entry);
    } else if (!placed) {
      origins.push({ ...entry, ...own });
      placed = true;
    } else {
      // The same origin in another spelling, whose items are those of the one before.
      const { localStorage: _local, sessionStorage: _session, ...rest } = entry;
      if (Object.keys(rest).length > 1) origins.push({ ...rest, localStorage: [] });
    }
  }
  if (!placed) origins.push(own);
  return { ...base, cookies: base.cookies ?? [], origins };
}

const UNTOUCHED = "Nothing was written.";

/** The file that a path means; where it is a link, what that points to, also if nothing is there yet. */
function targetOf(path: string): string {
  let target = resolve(path);
  // As many links as Linux follows.
  for (let links = 0; links < 40; links++) {
    if (lstatSync(target, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return target;
    target = resolve(target, "..", readlinkSync(target));
  }
  throw new Error(`storageState: ${path} leads from link to link. ${UNTOUCHED} Name another file.`);
}

/** The storageState that is in a file already; an empty one where no file is. */
function stateIn(path: string): Partial<StorageState> {
  let state: unknown;
  try {
    const text = textIn(path);
    state = text.trim() === "" ? {} : fromJson(text);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return {};
    const why = error instanceof NotJson ? message : error instanceof SyntaxError ? `is not JSON (${message})` : `cannot be read (${message})`;
    throw new Error(`storageState: the file ${path} ${why}, so that its items cannot be put beside what is there. ${UNTOUCHED} Name another file.`, { cause: error });
  }
  const { cookies, origins } = (state ?? {}) as Partial<StorageState>;
  const lists = [cookies, origins].filter((list) => list !== undefined);
  if (typeof state === "object" && state !== null && !Array.isArray(state) && lists.every(Array.isArray) && (lists.length > 0 || Object.keys(state).length === 0)) return state;
  throw new Error(`storageState: the file ${path} holds something else than a storageState, which would be lost. ${UNTOUCHED} Name another file.`);
}

let written = 0;

/** Writes a file that only its owner can read, at once: readers see the old content or the new. */
function writePrivate(path: string, text: string): void {
  const fresh = `${path}.${process.pid}-${++written}-${Math.random().toString(36).slice(2)}.new`;
  const bytes = Buffer.from(text, "utf8");
  const descriptor = openSync(fresh, "wx", 0o600);
  try {
    try {
      for (let start = 0; start < bytes.length; ) start += writeSync(descriptor, bytes, start, bytes.length - start, null);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(fresh, path);
  } catch (error) {
    unlinkSync(fresh);
    throw error;
  }
}

/**
 * The storageState of one origin. With `path` it is put into that file, for its owner alone, since such files hold
 * tokens; cookies and other origins in it stay, and are part of what is returned.
 */
export function stateOf(snapshot: Snapshot, origin: string, path?: string): StorageState {
  const named = (entries: Entries) => entries.map(([name, value]) => ({ name, value }));
  const own = { origin, localStorage: named(snapshot.localStorage), sessionStorage: named(snapshot.sessionStorage) };
  if (path === undefined) return mergedInto({}, own);
  const target = targetOf(path);
  const state = mergedInto(stateIn(target), own);
  try {
    writePrivate(target, `${toJson(state, null, 2)}\n`);
  } catch (error) {
    throw new Error(`storageState: the file ${target} could not be written (${(error as Error).message}). What was there is unchanged.`, { cause: error });
  }
  return state;
}
