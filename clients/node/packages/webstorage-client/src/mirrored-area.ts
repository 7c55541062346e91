import { Allowance } from "./allowance.js";
import type { Change } from "./area.js";
import { quotaFailure, StorageFailure } from "./failure.js";
import { Items, LostItems } from "./items.js";
import type { AreaAddress, View, ViewOwner } from "./observer.js";
import { PendingWrites } from "./pending-writes.js";
import type { Posted, PostedCall, SyncConnection } from "./sync-connection.js";
import type { Opened, StorageQuotaParams } from "./protocol.js";
import { clearTimeout, queueMicrotask, setTimeout } from "./runtime.js";
import { estimate, follow, openArea, unsubscribe, type CompleteEvent } from "./wire.js";

// Events follow the answers within milliseconds. Own writes that have no event after some of these
// intervals were without effect on the server, so the copy has to be compared with it.
const SETTLE = 500;
const SETTLE_LIMIT = 2;

// A program that is killed loses at most the writes of one group and what the server was too slow to read.
// Nothing of an area in memory outlives the program, and each exchange may cost it the processor.
const GROUP = 64;
const GROUP_IN_MEMORY = 1024;

/** Told about a write that the server refused after the copy had accepted it. */
export type WriteRefused = (failure: StorageFailure) => void;

/** Who takes in what the server reports, by the number of the subscription. */
export type Followers = Map<number, MirroredArea>;

/**
 * A copy of an area in this process. Reads never leave it. Writes change it at once, are checked
 * against the quota, and are sent to the server in their order; changes by others arrive as events
 * between tasks. Near the quota a write waits for the server, which alone knows what others have stored.
 * All documents of a process that are on the same area share one copy.
 */
export class MirroredArea {
  readonly #connection: SyncConnection;
  readonly #address: AreaAddress;
  #items = new Items();
  readonly #views = new Set<MirroredView>();
  readonly #opened: Opened;
  readonly #followers: Followers;
  #subscription: number | undefined;
  /** None for an area in memory, whose only writers are here. */
  readonly #allowance: Allowance | undefined;
  /** None for an area in memory, of which nothing comes back. */
  readonly #pending: PendingWrites | undefined;
  readonly #refused: WriteRefused;
  readonly #owner: Posted;
  /** The owner of the calls that let go of the area. */
  readonly #leaver: Posted;
  /** For an area in memory: the last write of each key, as long as it may not have been sent. */
  readonly #latest = new Map<string, PostedCall>();
  /** No less than the usage the server has seen or will see since `#round` began. */
  #peak = 0;
  #round = -1;
  /** Whether the server has dropped events, and the copy is to be read again. */
  #missed = false;
  #settling: NodeJS.Timeout | undefined;
  #disposed: () => void;

  constructor(connection: SyncConnection, address: AreaAddress, followers: Followers, refused: WriteRefused, disposed: () => void) {
    this.#connection = connection;
    this.#address = address;
    this.#followers = followers;
    this.#refused = refused;
    this.#disposed = disposed;
    this.#owner = { group: address.persistent ? GROUP : GROUP_IN_MEMORY, changes: true, refused: (failure) => this.#undo(failure) };
    this.#leaver = { ...this.#owner, changes: false };
    this.#opened = openArea(connection, address);
    // An area in memory is new and belongs to this connection, so there is nothing to read and nobody to hear of.
    if (!address.persistent) return;
    this.#allowance = new Allowance(this.#opened.quota, 0, () => estimate(connection, this.#opened.storage));
    this.#pending = new PendingWrites();
    this.#follow();
  }

  get items(): Items {
    return this.#items;
  }

  /** The server is not to be reached. What the copy shows may not be what it has, and nobody else's changes come here. */
  lose(failure: StorageFailure): void {
    this.#items = new LostItems(failure);
    for (const view of this.#views) view.items = this.#items;
  }

  open(address: AreaAddress, owner: ViewOwner): MirroredView {
    let handle = this.#opened.storage;
    if (this.#allowance !== undefined) {
      // The server tells other processes the URL of the handle, so each document has a handle of its own.
      const opened = openArea(this.#connection, { ...address, url: owner.url });
      handle = opened.storage;
      this.#allowance.quota = opened.quota;
    }
    const view = new MirroredView(this, owner, handle);
    this.#views.add(view);
    return view;
  }

  close(view: MirroredView): void {
    if (!this.#views.delete(view) || !this.#connection.alive) return;
    if (view.handle !== this.#opened.storage) this.#leave("storage/close", view.handle);
    if (this.#views.size > 0) return;
    clearTimeout(this.#settling);
    if (!this.#address.persistent) this.#leave("storage/clear", this.#opened.storage);
    this.#leave("storage/close", this.#opened.storage);
    if (this.#subscription !== undefined) this.#followers.delete(this.#subscription);
    this.#disposed();
  }

  #leave(method: string, handle: number): void {
    this.#connection.post(this.#leaver, method, handle);
  }

  setItem(view: MirroredView, key: string, value: string, silent = false): void {
    const items = this.#items;
    const old = items.get(key);
    if (old === value) return;
    const growth = old === undefined ? 2 * (key.length + value.length) : 2 * (value.length - old.length);
    if (this.#allowance !== undefined) {
      if (growth > 0 && (this.#connection.writesThrough || !this.#allowance.take(items.usage, growth))) this.#call(view.handle, key, value);
      else this.#post("storage/setItem", view.handle, key, value);
      if (!this.#missed) this.#pending?.wrote(key, value, old === undefined);
      items.set(key, value);
    } else {
      if (growth > 0 && items.usage + growth > this.#opened.quota) {
        throw quotaFailure(key, { quota: this.#opened.quota, requested: items.usage + growth, usage: items.usage });
      }
      if (!this.#replaces(key, value, growth)) this.#latest.set(key, this.#post("storage/setItem", view.handle, key, value));
      items.set(key, value);
      this.#peak = Math.max(this.#peak, items.usage);
    }
    if (!silent) this.#broadcast(view, key, old ?? null, value);
  }

  removeItem(view: MirroredView, key: string): void {
    const old = this.#items.get(key);
    if (old === undefined) return;
    this.#post("storage/removeItem", view.handle, key);
    // Not taken out: a Map that loses a key and gets one again rebuilds itself each time.
    const latest = this.#latest.get(key);
    if (latest !== undefined) latest.final = true;
    this.#items.delete(key);
    if (!this.#missed) this.#pending?.wrote(key, null, false);
    this.#broadcast(view, key, old, null);
  }

  clear(view: MirroredView, silent = false): void {
    if (this.#items.length === 0) return;
    this.#post("storage/clear", view.handle);
    this.#latest.clear();
    this.#items.clear();
    if (!this.#missed) this.#pending?.cleared();
    if (!silent) this.#broadcast(view, null, null, null);
  }

  #post(method: string, handle: number, key?: string, value?: string): PostedCall {
    const call = this.#connection.post(this.#owner, method, handle, key, value);
    if (this.#pending !== undefined) {
      this.#settle();
      if (this.#connection.writesThrough) this.#connection.flush();
    }
    return call;
  }

  /** Sets an item on the server, and throws if it does not fit there. */
  #call(handle: number, key: string, value: string): void {
    try {
      this.#connection.call("storage/setItem", [handle, key, value]);
    } catch (error) {
      throw error instanceof StorageFailure && error.numbers !== undefined ? quotaFailure(key, error.numbers) : error;
    }
    this.#settle();
  }

  /**
   * Gives the last write of a key another value if it has not been sent. Nobody can tell: an area in memory
   * has no other readers, and ends with the server. The server must not see more than the quota in between,
   * and it sees the larger value earlier.
   */
  #replaces(key: string, value: string, growth: number): boolean {
    if (this.#round !== this.#connection.round) {
      this.#round = this.#connection.round;
      this.#peak = this.#items.usage;
      this.#latest.clear();
      return false;
    }
    const call = this.#latest.get(key);
    if (call === undefined || call.final || this.#peak + growth > this.#opened.quota) return false;
    call.value = value;
    this.#peak += Math.max(0, growth);
    return true;
  }

  /**
   * Takes in the event of an own write in the middle of a script, when that changes nothing here. False for
   * every other event, which has to wait for a task of its own, except when all is read again before it.
   */
  arrive({ key, oldValue, newValue }: CompleteEvent, first: boolean): boolean {
    if (this.#missed) return true;
    const pending = this.#pending;
    if (!first || pending === undefined || !pending.confirms(key, oldValue, newValue)) return false;
    pending.judge(key, newValue);
    if (key !== null && oldValue === null && newValue !== null) pending.placed(key);
    return true;
  }

  /**
   * Events were missed: until the copy is read again, more of them are of no use, and neither is it to wait for
   * those of own writes. True if that is known.
   */
  miss(): boolean {
    const known = this.#missed;
    this.#missed = true;
    this.#pending?.forget();
    return known;
  }

  /** Takes in a change that the server reports, own changes included. */
  apply({ key, oldValue, newValue, url }: CompleteEvent): void {
    if (this.#missed) return;
    const change: Change = { key, oldValue, newValue, url };
    if (this.#pending?.judge(key, newValue) !== "foreign") return this.#place(change);
    this.#change(change);
    this.#deliver(change);
  }

  /** Takes in what has become of the quota, in the middle of a script too, where only the next write shows it. */
  limit({ quota, others }: Pick<StorageQuotaParams, "quota" | "others">): void {
    if (this.#allowance === undefined) return;
    this.#allowance.quota = quota;
    this.#allowance.others = others;
  }

  /** Reads the copy again, where no caller waits for it. What cannot be read must not be shown as empty. */
  reload(): void {
    if (!this.#connection.alive || this.#views.size === 0) return;
    try {
      this.#readAgain();
    } catch (error) {
      if (!(error instanceof StorageFailure)) throw error;
      this.lose(error);
    }
  }

  /** Replaces the copy by what the server has, and tells the documents of each item that differs. */
  #readAgain(): void {
    this.#connection.flush();
    this.#missed = false;
    const before = new Map(this.#items.entries());
    this.#follow();
    for (const [key, newValue] of this.#items.entries()) {
      const oldValue = before.get(key) ?? null;
      before.delete(key);
      if (oldValue !== newValue) this.#deliver({ key, oldValue, newValue, url: "" });
    }
    for (const [key, oldValue] of before) this.#deliver({ key, oldValue, newValue: null, url: "" });
  }

  #undo(failure: StorageFailure): void {
    this.#refused(
      new StorageFailure(
        failure.name,
        `The storage server refused a change that was already visible here: ${failure.message} The change is undone; the area shows what the server has.`,
        failure.numbers,
      ),
    );
    queueMicrotask(() => this.reload());
  }

  /**
   * Makes the copy what the area is now, and hears of what comes after that. Nothing posted may be unanswered: the
   * events of an earlier subscription, which may have been read and not been taken in, are of no use then.
   */
  #follow(): void {
    const before = this.#subscription;
    if (before !== undefined) this.#followers.delete(before);
    const { subscription, items, quota, others } = follow(this.#connection, this.#opened.storage);
    this.#subscription = subscription;
    this.#followers.set(subscription, this);
    this.limit({ quota, others });
    this.#pending?.forget();
    this.#items.clear();
    for (const { key, value } of items) this.#items.set(key, value);
    // Only now, because the server keeps the changes of others for as long as somebody listens.
    if (before !== undefined) unsubscribe(this.#connection, before);
  }

  #deliver(change: Change): void {
    for (const view of this.#views) view.owner.deliver(change);
  }

  #change({ key, oldValue, newValue }: Change): void {
    const items = this.#items;
    if (key === null) {
      const kept = [...items.entries()].filter(([name]) => this.#pending?.protects(name));
      items.clear();
      for (const [name, value] of kept) items.set(name, value);
    } else if (newValue === null) {
      items.delete(key);
    } else if (oldValue !== null && items.get(key) !== undefined) {
      items.set(key, newValue);
    } else {
      this.#append(key, newValue);
    }
  }

  /** Gives a key the place that the server has just given it, although the copy is ahead in its value. */
  #place({ key, oldValue, newValue }: Change): void {
    if (key === null || oldValue !== null || newValue === null) return;
    const value = this.#items.get(key);
    if (value !== undefined && this.#pending?.placed(key) === true) this.#append(key, value);
  }

  /** Puts an item behind everything the server has and before what it has not got yet. */
  #append(key: string, value: string): void {
    const items = this.#items;
    items.delete(key);
    const later: [string, string][] = [];
    for (const name of this.#pending?.appended ?? []) later.push([name, items.get(name) as string]);
    for (const [name] of later) items.delete(name);
    items.set(key, value);
    for (const [name, text] of later) items.set(name, text);
  }

  #broadcast(changer: MirroredView, key: string | null, oldValue: string | null, newValue: string | null): void {
    if (this.#views.size === 1 && !changer.owner.emitSelf) return;
    const change: Change = { key, oldValue, newValue, url: changer.owner.url };
    for (const view of this.#views) {
      if (view !== changer || view.owner.emitSelf) view.owner.deliver(change);
    }
  }

  #settle(): void {
    if (this.#settling !== undefined) return;
    this.#settling = setTimeout(() => {
      this.#settling = undefined;
      if (!this.#connection.alive || this.#pending === undefined || this.#pending.empty) return;
      if (this.#pending.grow(SETTLE_LIMIT)) this.reload();
      else this.#settle();
    }, SETTLE);
    this.#settling.unref();
  }
}

/** One document's hold on a copy. */
export class MirroredView implements View {
  readonly #area: MirroredArea;
  /** The items of the area. */
  items: Items;
  readonly owner: ViewOwner;
  readonly handle: number;

  constructor(area: MirroredArea, owner: ViewOwner, handle: number) {
    this.#area = area;
    this.items = area.items;
    this.owner = owner;
    this.handle = handle;
  }

  get length(): number {
    return this.items.length;
  }

  key(index: number): string | null {
    return this.items.key(index);
  }

  keys(): string[] {
    return this.items.keys();
  }

  getItem(key: string): string | null {
    return this.items.get(key) ?? null;
  }

  setItem(key: string, value: string): void {
    this.#area.setItem(this, key, value);
  }

  removeItem(key: string): void {
    this.#area.removeItem(this, key);
  }

  clear(): void {
    this.#area.clear(this);
  }

  entries(): [string, string][] {
    return [...this.items.entries()];
  }

  replaceAll(entries: Iterable<readonly [string, string]>): void {
    this.#area.clear(this, true);
    for (const [key, value] of entries) this.#area.setItem(this, key, value, true);
  }

  dispose(): void {
    this.#area.close(this);
  }
}
