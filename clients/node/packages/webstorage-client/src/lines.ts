import type { RpcError } from "./failure.js";
import { fromJson, toJson } from "./runtime.js";

const NEWLINE = 0x0a;

/** A response or a notification of the server. */
export interface ServerMessage {
  /** Null in an error about what had no id that could be read. */
  id?: number | null;
  method?: string;
  params?: unknown;
  result?: unknown;
  error?: RpcError;
}

/** The message in a line; undefined if the line has none. */
export function messageIn(line: string): ServerMessage | undefined {
  try {
    const message = fromJson(line) as unknown;
    return typeof message === "object" && message !== null ? message : undefined;
  } catch {
    return undefined;
  }
}

/** What a server did that wrote another line. */
export function noMessage(line: string): string {
  return `wrote a line that is no message, and was ended: ${toJson(line.slice(0, 100))}`;
}

/**
 * Cuts bytes at the ends of the lines of JSON-RPC line framing. A line ends at a line feed and nowhere
 * else: U+2028 and U+2029 are ordinary characters of JSON.
 */
export class LineDecoder {
  #parts: Buffer[] = [];

  /**
   * Adds bytes, which are copied where they are kept, and returns the lines they complete as one text,
   * each with its line feed. Lines come by hundreds, and most of them need not become strings.
   */
  text(bytes: Buffer): string {
    const end = bytes.lastIndexOf(NEWLINE) + 1;
    if (end === 0) {
      this.#parts.push(Buffer.from(bytes));
      return "";
    }
    let text: string;
    if (this.#parts.length === 0) {
      text = bytes.toString("utf8", 0, end);
    } else {
      this.#parts.push(bytes.subarray(0, end));
      text = Buffer.concat(this.#parts).toString("utf8");
      this.#parts = [];
    }
    if (end < bytes.length) this.#parts.push(Buffer.from(bytes.subarray(end)));
    return text;
  }

  /** The same as a list of the lines. */
  push(bytes: Buffer): string[] {
    const text = this.text(bytes);
    return text === "" ? [] : text.slice(0, -1).split("\n");
  }
}
