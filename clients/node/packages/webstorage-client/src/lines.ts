const NEWLINE = 0x0a;

/**
 * Cuts bytes into the lines of JSON-RPC line framing. A line ends at a line feed and nowhere else:
 * U+2028 and U+2029 are ordinary characters of JSON.
 */
export class LineDecoder {
  #parts: Buffer[] = [];

  /** Adds bytes, which are copied where they are kept, and returns the lines they complete. */
  push(bytes: Buffer): string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
      if (this.#parts.length === 0) {
        lines.push(bytes.toString("utf8", start, end));
      } else {
        this.#parts.push(bytes.subarray(start, end));
        lines.push(Buffer.concat(this.#parts).toString("utf8"));
        this.#parts = [];
      }
      start = end + 1;
    }
    if (start < bytes.length) this.#parts.push(Buffer.from(bytes.subarray(start)));
    return lines;
  }
}
