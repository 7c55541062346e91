const waiting = new Int32Array(new SharedArrayBuffer(4));

/** Blocks the thread, for fractions of a millisecond too. No fake timer of a test changes that. */
export function sleep(milliseconds: number): void {
  Atomics.wait(waiting, 0, 0, milliseconds);
}
