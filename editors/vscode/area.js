'use strict';
// An area: the members of the HTML standard's Storage interface, as promises, and its events.

const { StorageError } = require('./connection');

class Area {
  #connection;
  #storage;
  #missListeners = 0;

  constructor(connection, { storage, persistent, origin, quota }) {
    this.#connection = connection;
    this.#storage = storage;
    this.persistent = persistent;
    this.origin = origin;
    this.quota = quota;
    /** A vscode.Event: each change that others make to the area, in order and once. */
    this.onDidChange = (...args) => this.#on('storage/event', ...args);
    /** A vscode.Event: changes were missed: they were not read in time, are no longer kept, or the file was replaced. Read the area again. */
    this.onDidMissChanges = (...args) => this.#on('storage/overflow', ...args);
  }

  #call(method, params, received) {
    return this.#connection.call(`storage/${method}`, { storage: this.#storage, ...params }, received);
  }

  /** The value of a key, or null. */
  getItem(key) {
    return this.#call('getItem', { key });
  }

  /** Sets the value of a key. */
  setItem(key, value) {
    return this.#call('setItem', { key, value });
  }

  /** Removes an item, if there is one. */
  removeItem(key) {
    return this.#call('removeItem', { key });
  }

  /** Removes all items. */
  clear() {
    return this.#call('clear');
  }

  /** The key at a place in key order, counted from 0, or null past the end. */
  key(index) {
    return this.#call('key', { index });
  }

  /** The number of items. */
  length() {
    return this.#call('length');
  }

  /** The keys, in key order. */
  keys() {
    return this.#call('keys');
  }

  /** The items `{key, value}` of one moment, in key order. */
  entries() {
    return this.#call('entries');
  }

  /**
   * Makes several changes, all of them or none: first `clear`, then `remove` (keys), then `set` (`{key, value}`). A
   * condition of `if` (`{key, value}`, null for no such item) that is not met is a ConstraintError.
   */
  transact(changes) {
    return this.#call('transact', changes);
  }

  /**
   * Changes one item atomically, whatever others do meanwhile: `change` gets the value (null if there is none) and
   * returns the new one (null to remove it). It can be called several times. Resolves with the new value.
   */
  async update(key, change) {
    const limit = Date.now() + this.#connection.timeout;
    let value = await this.getItem(key);
    for (;;) {
      const next = change(value);
      if (next === value) return value;
      try {
        await this.transact({ if: [{ key, value }], ...(next === null ? { remove: [key] } : { set: [{ key, value: next }] }) });
        return next;
      } catch (error) {
        if (error.name !== 'ConstraintError') throw error;
        if (Date.now() > limit) throw new StorageError('TimeoutError', `others kept changing the item for ${this.#connection.timeout} ms`);
        value = error.data.unmet[0].value;
      }
    }
  }

  #on(method, listener, thisArg, disposables) {
    // Each listener has a subscription of its own, so that it hears of nothing that was before it.
    let subscription;
    let disposed = false;
    const missing = method === 'storage/overflow';
    if (missing) this.#missListeners++;
    const subscribed = this.#call('subscribe', { values: !missing }, (result) => {
      subscription = result.subscription;
      this.#connection.listeners.set(subscription, (got, { subscription: _, storage: __, ...event }) => {
        if (disposed) return;
        if (got === method) listener.call(thisArg, { ...event, storageArea: this });
        else if (!missing && this.#missListeners === 0) console.warn(`webstorage: changes of ${this.origin} were missed: read the area again`);
      });
    });
    const disposable = {
      dispose: () => {
        if (disposed) return;
        disposed = true;
        if (missing) this.#missListeners--;
        subscribed.then(() => {
          this.#connection.listeners.delete(subscription);
          return this.#connection.call('storage/unsubscribe', { subscription });
        }).catch(() => {});
      },
      /** Settles when the server has taken note; calls that are made later than this one need not wait for it. */
      subscribed,
    };
    subscribed.catch((error) => console.error(`webstorage: cannot subscribe: ${error.message}`));
    disposables?.push(disposable);
    return disposable;
  }

  /** Closes the area. Its items stay: those of a session area until the connection ends. */
  close() {
    return this.#call('close');
  }
}

module.exports = { Area };
