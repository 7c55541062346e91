/** The part of the server's protocol that this client speaks, by method. */
export interface Methods {
  "storage/open": { params: OpenParams; result: Opened };
  "storage/close": { params: OfStorage; result: null };
  "storage/getItem": { params: OfStorage & { key: string }; result: string | null };
  "storage/setItem": { params: OfStorage & { key: string; value: string }; result: null };
  "storage/removeItem": { params: OfStorage & { key: string }; result: null };
  "storage/clear": { params: OfStorage; result: null };
  "storage/key": { params: OfStorage & { index: number }; result: string | null };
  "storage/length": { params: OfStorage; result: number };
  "storage/keys": { params: Page; result: string[] };
  "storage/entries": { params: Page; result: Item[] };
  "storage/getItems": { params: OfStorage & { keys: string[] }; result: (string | null)[] };
  "storage/transact": { params: TransactParams; result: null };
  "storage/subscribe": { params: SubscribeParams; result: Subscribed };
  "storage/unsubscribe": { params: { subscription: number }; result: null };
}

/** A handle: one `Storage` object, valid on the connection that opened it. */
export interface OfStorage {
  storage: number;
}

/** Params of `storage/open`. */
export interface OpenParams {
  persistent: boolean;
  origin?: string;
  quota?: number;
  url?: string;
}

/** Result of `storage/open`. */
export interface Opened extends OfStorage {
  persistent: boolean;
  origin: string;
  length: number;
  usage: number;
  quota: number;
}

/** Params of the methods that list: the last key of the page before, and the most that are wanted. */
export interface Page extends OfStorage {
  after?: string;
  limit?: number;
}

/** One item. */
export interface Item {
  key: string;
  value: string;
}

/** Params of `storage/transact`: all of it happens, or nothing. */
export interface TransactParams extends OfStorage {
  if?: { key: string; value: string | null }[];
  set?: Item[];
  remove?: string[];
  clear?: boolean;
}

/** Params of `storage/subscribe`. */
export interface SubscribeParams extends OfStorage {
  keys?: string[];
  prefix?: string;
  values?: boolean;
  since?: number;
  includeSelf?: boolean;
}

/** Result of `storage/subscribe`. */
export interface Subscribed {
  subscription: number;
  sequence: number;
  /** True when changes after `since` are not known any more: the area has to be read again. */
  gap: boolean;
}

/** Params of the notification `storage/event`. */
export interface StorageEventParams extends OfStorage {
  subscription: number;
  sequence: number;
  key: string | null;
  oldValue: string | null;
  newValue: string | null;
  url: string;
}

/** Params of the notification `storage/overflow`: events were missed, and the area has to be read again. */
export interface StorageOverflowParams extends OfStorage {
  subscription: number;
  sequence: number;
}
