/**
 * What one `Storage` object is bound to: the algorithms of the HTML standard's `Storage` interface
 * after WebIDL has converted the arguments. Every method may throw a `StorageFailure`.
 */
export interface Area {
  /** The number of items. */
  readonly length: number;
  /** The nth key in insertion order, or null past the end. `index` is an `unsigned long`. */
  key(index: number): string | null;
  /** Every key, in the order of `key(n)`. The array belongs to the caller. */
  keys(): string[];
  /** The value of an item, or null. */
  getItem(key: string): string | null;
  /** Stores an item, or throws a `QuotaExceededError` failure and changes nothing. */
  setItem(key: string, value: string): void;
  /** Removes an item; nothing happens if it is not there. */
  removeItem(key: string): void;
  /** Removes every item. */
  clear(): void;
}

/** One change of an area, as the broadcast of the HTML standard describes it. */
export interface Change {
  /** The key that changed, or null for `clear()`. */
  key: string | null;
  /** The value before the change, or null. */
  oldValue: string | null;
  /** The value after the change, or null. */
  newValue: string | null;
  /** The URL of the document that made the change. */
  url: string;
}

/** The names of the `Storage` operations that read or change items. */
export const OPERATIONS = ["getItem", "setItem", "removeItem", "clear", "key", "length", "keys"] as const;

/** One of these operations. */
export type Operation = (typeof OPERATIONS)[number];
