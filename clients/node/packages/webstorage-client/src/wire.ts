import { StorageFailure } from "./failure.js";
import type { SyncConnection } from "./sync-connection.js";

/** Params of `storage/open`. */
export interface OpenParams {
  persistent: boolean;
  origin?: string;
  quota?: number;
  url?: string;
}

/** Result of `storage/open`. */
export interface Opened {
  storage: number;
  persistent: boolean;
  origin: string;
  length: number;
  usage: number;
  quota: number;
}

/** Params of the notification `storage/event`. */
export interface StorageEventParams {
  subscription: number;
  storage: number;
  sequence: number;
  key: string | null;
  oldValue: string | null;
  newValue: string | null;
  url: string;
  /** Set when events were missed: the area has to be loaded again. */
  overflow?: boolean;
}

const METHOD_NOT_FOUND = -32601;
const PAGE = 500;

/** Opens a handle on an area. */
export function openArea(connection: SyncConnection, params: OpenParams): Opened {
  return connection.call("storage/open", params) as Opened;
}

function pageOf(connection: SyncConnection, storage: number, after: string | undefined): [string, string][] {
  const params = after === undefined ? { storage, limit: PAGE } : { storage, after, limit: PAGE };
  const entries = connection.call("storage/entries", params) as { key: string; value: string }[];
  return entries.map(({ key, value }) => [key, value]);
}

/** Every key of an area, in key order. */
export function allKeys(connection: SyncConnection, storage: number): string[] {
  return connection.call("storage/keys", { storage }) as string[];
}

/**
 * Every item of an area, in key order. Another process may change the area between two pages; when the
 * last key of a page is gone, the reading starts again.
 */
export function allEntries(connection: SyncConnection, storage: number): [string, string][] {
  for (;;) {
    const entries: [string, string][] = [];
    try {
      for (;;) {
        const page = pageOf(connection, storage, entries.at(-1)?.[0]);
        for (const entry of page) entries.push(entry);
        if (page.length < PAGE) return entries;
      }
    } catch (error) {
      if (!(error instanceof StorageFailure)) throw error;
      if (error.code === METHOD_NOT_FOUND) return entriesByKey(connection, storage);
      if (error.name !== "NotFoundError") throw error;
    }
  }
}

/** The same for a server without `storage/entries`. */
function entriesByKey(connection: SyncConnection, storage: number): [string, string][] {
  const entries: [string, string][] = [];
  for (const key of allKeys(connection, storage)) {
    const value = connection.call("storage/getItem", [storage, key]) as string | null;
    if (value !== null) entries.push([key, value]);
  }
  return entries;
}

/** Asks for the events of an area; undefined when the server has none. */
export function subscribe(connection: SyncConnection, storage: number, includeSelf: boolean): number | undefined {
  try {
    const { subscription } = connection.call("storage/subscribe", { storage, includeSelf }) as { subscription: number };
    return subscription;
  } catch (error) {
    if (error instanceof StorageFailure && error.code === METHOD_NOT_FOUND) return undefined;
    throw error;
  }
}
