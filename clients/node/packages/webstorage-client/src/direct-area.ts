import type { AreaAddress, View, ViewOwner } from "./observer.js";
import type { SyncConnection } from "./sync-connection.js";
import { allEntries, allKeys, openArea, subscribe, type StorageEventParams } from "./wire.js";

/**
 * One document's hold on an area without a copy of it: each operation is a call that blocks for the
 * server's answer, so that it sees every change that any process had committed before.
 */
export class DirectView implements View {
  readonly #connection: SyncConnection;
  readonly #handle: number;
  readonly #owner: ViewOwner;
  readonly #leave: () => boolean;
  /** The server's number for the events of this view. */
  readonly subscription: number | undefined;
  #silent = false;

  /** `leave` is called once, at the end, and tells whether the content has to go as well. */
  constructor(connection: SyncConnection, address: AreaAddress, owner: ViewOwner, leave: () => boolean) {
    this.#connection = connection;
    this.#owner = owner;
    this.#leave = leave;
    this.#handle = openArea(connection, { ...address, url: owner.url }).storage;
    this.subscription = subscribe(connection, this.#handle, owner.emitSelf);
  }

  get length(): number {
    return this.#connection.call("storage/length", [this.#handle]) as number;
  }

  key(index: number): string | null {
    return this.#connection.call("storage/key", [this.#handle, index]) as string | null;
  }

  keys(): string[] {
    return allKeys(this.#connection, this.#handle);
  }

  getItem(key: string): string | null {
    return this.#connection.call("storage/getItem", [this.#handle, key]) as string | null;
  }

  setItem(key: string, value: string): void {
    this.#connection.call("storage/setItem", [this.#handle, key, value]);
  }

  removeItem(key: string): void {
    this.#connection.call("storage/removeItem", [this.#handle, key]);
  }

  clear(): void {
    this.#connection.call("storage/clear", [this.#handle]);
  }

  entries(): [string, string][] {
    return allEntries(this.#connection, this.#handle);
  }

  replaceAll(entries: Iterable<readonly [string, string]>): void {
    this.clear();
    for (const [key, value] of entries) this.setItem(key, value);
  }

  /** Takes in a change that the server reports. */
  apply({ key, oldValue, newValue, url, overflow }: StorageEventParams): void {
    if (overflow !== true && !this.#silent) this.#owner.deliver({ key, oldValue, newValue, url });
  }

  dispose(): void {
    if (this.#silent) return;
    this.#silent = true;
    const obsolete = this.#leave();
    if (!this.#connection.alive) return;
    if (obsolete) this.clear();
    this.#connection.call("storage/close", [this.#handle]);
  }
}
