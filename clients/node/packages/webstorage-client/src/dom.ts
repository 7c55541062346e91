// The interfaces of the HTML standard that the declarations of this package name. The compiler's library `dom`,
// which programs for Node need not have, has the same; a program with it can use either for the other.

/** The standard's `Storage`. */
export interface Storage {
  [name: string]: any;
  readonly length: number;
  clear(): void;
  getItem(key: string): string | null;
  key(index: number): string | null;
  removeItem(key: string): void;
  setItem(key: string, value: string): void;
}

/** The standard's `StorageEvent`. */
export interface StorageEvent extends Event {
  readonly key: string | null;
  readonly newValue: string | null;
  readonly oldValue: string | null;
  readonly storageArea: Storage | null;
  readonly url: string;
  initStorageEvent(
    type: string,
    bubbles?: boolean,
    cancelable?: boolean,
    key?: string | null,
    oldValue?: string | null,
    newValue?: string | null,
    url?: string | URL,
    storageArea?: Storage | null,
  ): void;
}

/** The standard's `StorageEventInit`. */
export interface StorageEventInit {
  bubbles?: boolean;
  cancelable?: boolean;
  composed?: boolean;
  key?: string | null;
  newValue?: string | null;
  oldValue?: string | null;
  storageArea?: Storage | null;
  url?: string;
}

type Listener = Parameters<EventTarget["addEventListener"]>[1];
type ListenerOptions = Parameters<EventTarget["addEventListener"]>[2];

/** An event target that storage events are dispatched at. */
export interface StorageEventTarget extends EventTarget {
  addEventListener(type: "storage", listener: (event: StorageEvent) => void, options?: ListenerOptions): void;
  addEventListener(type: string, listener: Listener, options?: ListenerOptions): void;
}
