import type { Connection } from "./connect.js";
import { StorageFailure } from "./failure.js";
import { interfacesIn } from "./realm.js";
import type { Item, OpenParams, Opened, StorageEventParams, SubscribeParams, Subscribed, TransactParams } from "./protocol.js";

const { exceptionFor } = interfacesIn(globalThis);

/** What to be told of. */
export type SubscribeOptions = Omit<SubscribeParams, "storage" | "since">;

/** A change of an area that the server reports; the members are those of the standard's `StorageEvent`. */
export class AreaEvent extends Event {
  readonly key: string | null;
  readonly oldValue: string | null;
  readonly newValue: string | null;
  readonly url: string;
  /** Grows by one with each change of the area. */
  readonly sequence: number;
  readonly area: RemoteArea;

  constructor(area: RemoteArea, { key, oldValue, newValue, url, sequence }: StorageEventParams) {
    super("storage");
    this.key = key;
    this.oldValue = oldValue ?? null;
    this.newValue = newValue ?? null;
    this.url = url;
    this.sequence = sequence;
    this.area = area;
  }
}

type ListenerOptions = Parameters<EventTarget["addEventListener"]>[2];

/** What listeners of an area are given, by the type of the event. */
export interface RemoteArea {
  addEventListener(type: "storage", listener: (event: AreaEvent) => void, options?: ListenerOptions): void;
  addEventListener(type: string, listener: Parameters<EventTarget["addEventListener"]>[1], options?: ListenerOptions): void;
}

/**
 * An area on the server. After `subscribe` it dispatches `storage` events, and `overflow` when changes
 * were missed and the area has to be read again.
 */
export class RemoteArea extends EventTarget implements AsyncDisposable {
  readonly #connection: Connection;
  readonly #params: OpenParams;
  #opened: Opened;
  #wanted: SubscribeOptions | undefined;
  #subscribed: Pick<Subscribed, "subscription" | "sequence"> | undefined;

  constructor(connection: Connection, params: OpenParams, opened: Opened) {
    super();
    this.#connection = connection;
    this.#params = params;
    this.#opened = opened;
  }

  get persistent(): boolean {
    return this.#opened.persistent;
  }

  /** The origin as the server writes it. */
  get origin(): string {
    return this.#opened.origin;
  }

  /** The quota in bytes, as it was when the area was opened. */
  get quota(): number {
    return this.#opened.quota;
  }

  /** The server's number for the events of this area. */
  get subscription(): number | undefined {
    return this.#subscribed?.subscription;
  }

  getItem(key: string): Promise<string | null> {
    return this.#connection.request("storage/getItem", () => ({ storage: this.#opened.storage, key }));
  }

  async setItem(key: string, value: string): Promise<void> {
    await this.#connection.request("storage/setItem", () => ({ storage: this.#opened.storage, key, value }));
  }

  async removeItem(key: string): Promise<void> {
    await this.#connection.request("storage/removeItem", () => ({ storage: this.#opened.storage, key }));
  }

  async clear(): Promise<void> {
    await this.#connection.request("storage/clear", () => ({ storage: this.#opened.storage }));
  }

  key(index: number): Promise<string | null> {
    return this.#connection.request("storage/key", () => ({ storage: this.#opened.storage, index: index >>> 0 }));
  }

  length(): Promise<number> {
    return this.#connection.request("storage/length", () => ({ storage: this.#opened.storage }));
  }

  /** The keys in key order; `after` is the last key of the page before. */
  keys(page: { after?: string; limit?: number } = {}): Promise<string[]> {
    return this.#connection.request("storage/keys", () => ({ storage: this.#opened.storage, ...page }));
  }

  /** The items in key order; `after` is the last key of the page before. */
  entries(page: { after?: string; limit?: number } = {}): Promise<Item[]> {
    return this.#connection.request("storage/entries", () => ({ storage: this.#opened.storage, ...page }));
  }

  /** Several changes, under conditions, all or none. */
  transact(change: Omit<TransactParams, "storage">): Promise<unknown> {
    return this.#connection.request("storage/transact", () => ({ storage: this.#opened.storage, ...change }));
  }

  /** Starts the `storage` events of this area. */
  async subscribe(options: SubscribeOptions = {}): Promise<void> {
    if (this.#wanted !== undefined) {
      throw exceptionFor(new StorageFailure("InvalidStateError", "This area dispatches its events already. Nothing was changed. Open the area again for other events."));
    }
    this.#wanted = options;
    try {
      this.#subscribed = await this.#connection.request("storage/subscribe", () => ({ storage: this.#opened.storage, ...options }));
    } catch (error) {
      this.#wanted = undefined;
      throw error;
    }
    this.#connection.listen(this);
  }

  async close(): Promise<void> {
    this.#connection.forget(this);
    await this.#connection.request("storage/close", () => ({ storage: this.#opened.storage }));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Opens the area on the server that took the place of a dead one. */
  async reopen(): Promise<void> {
    this.#opened = await this.#connection.send("storage/open", this.#params);
    if (this.#wanted === undefined || this.#subscribed === undefined) return;
    const since = this.persistent ? { since: this.#subscribed.sequence } : {};
    const subscribed = await this.#connection.send("storage/subscribe", { storage: this.#opened.storage, ...this.#wanted, ...since });
    this.#subscribed = subscribed;
    this.#connection.listen(this);
    if (subscribed.gap) this.overflowed(subscribed.sequence);
  }

  /** Takes in what the server reports. */
  take(event: StorageEventParams): void {
    if (this.#subscribed !== undefined) this.#subscribed.sequence = event.sequence;
    this.dispatchEvent(new AreaEvent(this, event));
  }

  /** Takes in that events up to a sequence were missed. */
  overflowed(sequence: number): void {
    if (this.#subscribed !== undefined) this.#subscribed.sequence = sequence;
    this.dispatchEvent(new Event("overflow"));
  }
}
