const BLOCK_BITS = 8;
const REMOVED = -1;

/**
 * The items of an area in insertion order, with their usage: two bytes for each UTF-16 unit.
 *
 * Every item has a slot, and slots are in key order. A removed item leaves a hole, and the items of
 * every block of 256 slots are counted, so that neither a removal nor `key(n)` after one walks over
 * all items. Removed keys stay in the map without a slot: a `Map` that loses a key and gets one again
 * rebuilds itself each time. Holes and removed keys go when they outnumber the items.
 */
export class Items {
  #slotOf = new Map<string, number>();
  #keys: (string | undefined)[] = [];
  #values: (string | undefined)[] = [];
  #blocks: number[] = [];
  #length = 0;
  #usage = 0;

  get length(): number {
    return this.#length;
  }

  get usage(): number {
    return this.#usage;
  }

  get(key: string): string | undefined {
    const slot = this.#slotOf.get(key);
    return slot === undefined || slot === REMOVED ? undefined : this.#values[slot];
  }

  key(position: number): string | null {
    if (position >= this.#length) return null;
    if (this.#keys.length === this.#length) return this.#keys[position] as string;
    let block = 0;
    let left = position;
    while (left >= this.#blocks[block]) left -= this.#blocks[block++];
    for (let slot = block << BLOCK_BITS; ; slot++) {
      const key = this.#keys[slot];
      if (key !== undefined && left-- === 0) return key;
    }
  }

  keys(): string[] {
    return this.#keys.length === this.#length ? (this.#keys.slice() as string[]) : this.#keys.filter((key) => key !== undefined);
  }

  *entries(): IterableIterator<[string, string]> {
    for (let slot = 0; slot < this.#keys.length; slot++) {
      const key = this.#keys[slot];
      if (key !== undefined) yield [key, this.#values[slot] as string];
    }
  }

  /** Stores an item; a key that is there keeps its place. */
  set(key: string, value: string): void {
    const slot = this.#slotOf.get(key);
    if (slot !== undefined && slot !== REMOVED) {
      this.#usage += 2 * (value.length - (this.#values[slot] as string).length);
      this.#values[slot] = value;
      return;
    }
    this.#usage += 2 * (key.length + value.length);
    this.#append(key, value);
  }

  delete(key: string): boolean {
    const slot = this.#slotOf.get(key);
    if (slot === undefined || slot === REMOVED) return false;
    this.#usage -= 2 * (key.length + (this.#values[slot] as string).length);
    this.#slotOf.set(key, REMOVED);
    this.#keys[slot] = undefined;
    this.#values[slot] = undefined;
    this.#blocks[slot >> BLOCK_BITS]--;
    this.#length--;
    if (this.#keys.length > 2 * this.#length + 1024) this.#compact();
    return true;
  }

  clear(): void {
    this.#slotOf.clear();
    this.#keys = [];
    this.#values = [];
    this.#blocks = [];
    this.#length = 0;
    this.#usage = 0;
  }

  #append(key: string, value: string): void {
    const slot = this.#keys.length;
    this.#slotOf.set(key, slot);
    this.#keys.push(key);
    this.#values.push(value);
    this.#blocks[slot >> BLOCK_BITS] = (this.#blocks[slot >> BLOCK_BITS] ?? 0) + 1;
    this.#length++;
  }

  #compact(): void {
    const entries = [...this.entries()];
    const usage = this.#usage;
    this.clear();
    this.#usage = usage;
    for (const [key, value] of entries) this.#append(key, value);
  }
}

/** The items of an area whose server is gone: whoever asks for them is told. */
export class LostItems extends Items {
  readonly #failure: Error;

  constructor(failure: Error) {
    super();
    this.#failure = failure;
  }

  override get length(): number {
    throw this.#failure;
  }

  override get usage(): number {
    throw this.#failure;
  }

  override get(): string | undefined {
    throw this.#failure;
  }

  override key(): string | null {
    throw this.#failure;
  }

  override keys(): string[] {
    throw this.#failure;
  }

  override entries(): IterableIterator<[string, string]> {
    throw this.#failure;
  }
}
