import { StorageFailure } from "./failure.js";
import type { Estimate, Item, OpenParams, Opened, StorageEventParams, Subscribed } from "./protocol.js";
import type { SyncConnection } from "./sync-connection.js";

const PAGE = 500;

/** Opens a handle on an area. */
export function openArea(connection: SyncConnection, params: OpenParams): Opened {
  return connection.call("storage/open", params) as Opened;
}

function pageOf(connection: SyncConnection, storage: number, after: string | undefined): [string, string][] {
  const params = after === undefined ? { storage, limit: PAGE } : { storage, after, limit: PAGE };
  const entries = connection.call("storage/entries", params) as Item[];
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
      if (!(error instanceof StorageFailure) || error.name !== "NotFoundError") throw error;
    }
  }
}

/** Asks for the events of an area. */
export function subscribe(connection: SyncConnection, storage: number, includeSelf: boolean): number {
  return (connection.call("storage/subscribe", { storage, includeSelf }) as Subscribed).subscription;
}

/** The answer to a subscription that is to keep a copy of an area. */
export type Followed = { [member in keyof Subscribed]-?: NonNullable<Subscribed[member]> };

/**
 * Asks for the items of an area and for all events after that, own changes included. The server reads the items in
 * the transaction that makes the subscription: in pages, or before or after it, something could come in between that
 * is neither among the items nor an event, or both.
 */
export function follow(connection: SyncConnection, storage: number): Followed {
  return connection.call("storage/subscribe", { storage, includeSelf: true, items: true, quota: true }) as Followed;
}

/** Ends a subscription. */
export function unsubscribe(connection: SyncConnection, subscription: number): void {
  connection.call("storage/unsubscribe", { subscription });
}

/** How much an area holds and may hold, as of now and after all that was posted. */
export function estimate(connection: SyncConnection, storage: number): Estimate {
  return connection.call("storage/estimate", { storage }) as Estimate;
}

/** An event of a subscription with values, as all those of the `Storage` objects are. */
export type CompleteEvent = Required<StorageEventParams>;
