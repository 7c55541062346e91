import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";

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

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isEntry(value: unknown): value is [string, string] {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === "string" && typeof value[1] === "string";
}

/** Whether a value is a list of pairs of strings. */
export function isEntries(value: unknown): value is Entries {
  return Array.isArray(value) && value.every(isEntry);
}

function entriesOf(items: unknown, where: string): Entries {
  if (items === undefined) return [];
  const pairs = Array.isArray(items) ? items.map((item: unknown) => (isObject(item) ? [item.name, item.value] : item)) : isObject(items) ? Object.entries(items) : undefined;
  if (pairs === undefined) throw new TypeError(`The seed of ${where} is neither an object nor a list of items. Nothing was stored.`);
  return pairs.map((pair: unknown) => {
    if (isEntry(pair)) return [pair[0], pair[1]];
    throw new TypeError(`The seed of ${where} has an item that is not a string for a string: ${JSON.stringify(pair)}. Nothing was stored. Write values as strings.`);
  });
}

const SEED_FILE = "expected a JSON file with a storageState of Playwright, with localStorage and sessionStorage, or with items";

/** The seed in a file, whose path may be relative to the directory of the process. */
function seedIn(path: string): Exclude<Seed, string> {
  const refused = (why: string, cause: unknown) => new Error(`The option seed names the file ${resolve(path)}, which ${why}; ${SEED_FILE}. Nothing was stored.`, { cause });
  let content: string;
  try {
    content = readFileSync(path, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw refused(code === "ENOENT" ? "does not exist" : `cannot be read (${message})`, error);
  }
  let seed: unknown;
  try {
    seed = JSON.parse(content);
  } catch (error) {
    throw refused(`is not JSON (${(error as Error).message})`, error);
  }
  if (typeof seed !== "object" || seed === null) throw refused(`holds neither an object nor a list`, undefined);
  return seed as Exclude<Seed, string>;
}

/** The content that a seed gives to the document of an origin. */
export function snapshotOf(seed: Seed | undefined, origin: string): Snapshot {
  if (seed === undefined) return { localStorage: [], sessionStorage: [] };
  if (typeof seed === "string") return snapshotOf(seedIn(seed), origin);
  if (isObject(seed) && Array.isArray((seed as Record<string, unknown>).origins)) {
    const own = (seed as unknown as StorageState).origins.filter((candidate) => candidate.origin === origin);
    return {
      localStorage: own.flatMap((state) => entriesOf(state.localStorage, "localStorage")),
      sessionStorage: own.flatMap((state) => entriesOf(state.sessionStorage, "sessionStorage")),
    };
  }
  if (isObject(seed)) {
    const names = Object.keys(seed);
    const byArea = names.every((name) => (name === "localStorage" || name === "sessionStorage") && typeof (seed as Record<string, unknown>)[name] === "object");
    if (names.length > 0 && byArea) {
      const { localStorage, sessionStorage } = seed as Record<string, unknown>;
      return { localStorage: entriesOf(localStorage, "localStorage"), sessionStorage: entriesOf(sessionStorage, "sessionStorage") };
    }
  }
  return { localStorage: entriesOf(seed, "localStorage"), sessionStorage: [] };
}

/** The storageState of one origin; written to `path` for its owner alone, since such files hold tokens. */
export function stateOf(snapshot: Snapshot, origin: string, path?: string): StorageState {
  const named = (entries: Entries) => entries.map(([name, value]) => ({ name, value }));
  const state: StorageState = {
    cookies: [],
    origins: [{ origin, localStorage: named(snapshot.localStorage), sessionStorage: named(snapshot.sessionStorage) }],
  };
  if (path !== undefined) writeFileSync(path, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  return state;
}
