/** What an event of the server means for a copy of the area that is ahead of it. */
export type Verdict = "own" | "foreign" | "superseded";

/**
 * The own writes that a copy of an area already shows and whose events have not come back. Events come
 * in the order of the commits, own and foreign ones alike; while an own write on a key is on its way,
 * what others did to that key before is superseded.
 */
export class PendingWrites {
  #byKey = new Map<string, { values: (string | null)[]; age: number }>();
  #clears = 0;
  #clearAge = 0;
  /** Keys this copy has put at its end and the server has not confirmed, in order. */
  #appended = new Set<string>();

  get empty(): boolean {
    return this.#clears === 0 && this.#byKey.size === 0;
  }

  /** Makes every write older by one; true if one has become older than `limit`. */
  grow(limit: number): boolean {
    let oldest = this.#clears > 0 ? ++this.#clearAge : 0;
    for (const writes of this.#byKey.values()) oldest = Math.max(oldest, ++writes.age);
    return oldest > limit;
  }

  /** The unconfirmed keys at the end of the copy; confirmed additions of others go before them. */
  get appended(): Iterable<string> {
    return this.#appended;
  }

  wrote(key: string, value: string | null, added: boolean): void {
    const writes = this.#byKey.get(key);
    if (writes === undefined) this.#byKey.set(key, { values: [value], age: 0 });
    else writes.values.push(value);
    if (added) {
      this.#appended.delete(key);
      this.#appended.add(key);
    } else if (value === null) {
      this.#appended.delete(key);
    }
  }

  cleared(): void {
    this.#clears++;
    this.#clearAge = 0;
    this.#byKey.clear();
    this.#appended.clear();
  }

  /** Whether a clear by another document leaves the key alone, because it was written after it. */
  protects(key: string): boolean {
    return this.#byKey.has(key);
  }

  judge(key: string | null, newValue: string | null): Verdict {
    if (key === null) {
      if (this.#clears === 0) return "foreign";
      this.#clears--;
      this.#clearAge = 0;
      return "own";
    }
    if (this.#clears > 0) return "superseded";
    const writes = this.#byKey.get(key);
    if (writes === undefined) return "foreign";
    if (writes.values[0] !== newValue) return "superseded";
    writes.values.shift();
    writes.age = 0;
    if (writes.values.length === 0) this.#byKey.delete(key);
    return "own";
  }

  /** Whether an event is that of the next own write of its key, and the copy has the key in its place already. */
  confirms(key: string | null, oldValue: string | null, newValue: string | null): boolean {
    if (key === null) return this.#clears > 0;
    if (this.#clears > 0 || this.#byKey.get(key)?.values[0] !== newValue) return false;
    if (oldValue !== null || newValue === null) return true;
    const [first] = this.#appended;
    return first === key;
  }

  /**
   * Notes that the server has put a key, which this copy has as well, at the end of what it has. True if
   * the copy has the key in another place, as it does when somebody else added or removed it before.
   */
  placed(key: string): boolean {
    if (this.#clears > 0) return false;
    const [first] = this.#appended;
    this.#appended.delete(key);
    return first !== key;
  }

  forget(): void {
    this.#byKey.clear();
    this.#appended.clear();
    this.#clears = 0;
  }
}
