import type { Change } from "./area.js";
import type { AreaAddress, View, ViewOwner } from "./observer.js";
import { toJson } from "./runtime.js";
import type { SyncConnection } from "./sync-connection.js";
import { allEntries, allKeys, openArea, subscribe, type CompleteEvent } from "./wire.js";

/**
 * One document's hold on an area without a copy of it: each operation is a call that blocks for the
 * server's answer, so that it sees every change that any process had committed before.
 */
export class DirectView implements View {
  readonly #connection: SyncConnection;
  readonly #handle: number;
  readonly #owner: ViewOwner;
  /** The views of this process on the same area, this one included. */
  readonly #views: Set<DirectView>;
  readonly #persistent: boolean;
  readonly #disposed: () => void;
  /** The server's number for the events of this view. */
  readonly subscription: number | undefined;

  constructor(connection: SyncConnection, address: AreaAddress, owner: ViewOwner, views: Set<DirectView>, disposed: () => void) {
    this.#connection = connection;
    this.#owner = owner;
    this.#persistent = address.persistent;
    this.#disposed = disposed;
    this.#handle = openArea(connection, { ...address, url: owner.url }).storage;
    // An area in memory is changed by this process alone, which can tell its own views.
    this.subscription = address.persistent ? subscribe(connection, this.#handle, owner.emitSelf) : undefined;
    this.#views = views;
    views.add(this);
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
    return this.#connection.callWith("storage/getItem", `[${this.#handle},${toJson(key)}]`) as string | null;
  }

  setItem(key: string, value: string): void {
    const old = this.#heard ? this.getItem(key) : null;
    this.#connection.callWith("storage/setItem", `[${this.#handle},${toJson(key)},${toJson(value)}]`);
    if (this.#heard && old !== value) this.#broadcast({ key, oldValue: old, newValue: value, url: this.#owner.url });
  }

  removeItem(key: string): void {
    const old = this.#heard ? this.getItem(key) : null;
    this.#connection.call("storage/removeItem", [this.#handle, key]);
    if (old !== null) this.#broadcast({ key, oldValue: old, newValue: null, url: this.#owner.url });
  }

  clear(): void {
    const changes = this.#heard && this.length > 0;
    this.#connection.call("storage/clear", [this.#handle]);
    if (changes) this.#broadcast({ key: null, oldValue: null, newValue: null, url: this.#owner.url });
  }

  entries(): [string, string][] {
    return allEntries(this.#connection, this.#handle);
  }

  replaceAll(entries: Iterable<readonly [string, string]>): void {
    this.#connection.call("storage/clear", [this.#handle]);
    for (const [key, value] of entries) this.#connection.call("storage/setItem", [this.#handle, key, value]);
  }

  /** Every event is told to the document, which is a task of its own. */
  arrive(): boolean {
    return false;
  }

  /** The document is told in its turn. */
  miss(): boolean {
    return false;
  }

  /** Takes in a change that the server reports. */
  apply({ key, oldValue, newValue, url }: CompleteEvent): void {
    if (this.#views.has(this)) this.#owner.deliver({ key, oldValue, newValue, url });
  }

  /** Events were missed: the document is told what it is told of a clear, so that it reads again. */
  reload(): void {
    if (this.#views.has(this)) this.#owner.deliver({ key: null, oldValue: null, newValue: null, url: "" });
  }

  dispose(): void {
    if (!this.#views.delete(this)) return;
    this.#disposed();
    if (!this.#connection.alive) return;
    if (!this.#persistent && this.#views.size === 0) this.#connection.call("storage/clear", [this.#handle]);
    this.#connection.call("storage/close", [this.#handle]);
  }

  /** Whether somebody has to be told of changes by this process. */
  get #heard(): boolean {
    return !this.#persistent && (this.#views.size > 1 || this.#owner.emitSelf);
  }

  #broadcast(change: Change): void {
    for (const view of this.#views) {
      if (view !== this || view.#owner.emitSelf) view.#owner.deliver(change);
    }
  }
}
