import type { CompleteEvent } from "./wire.js";

const START = '{"jsonrpc":"2.0","method":"storage/event","params":{"subscription":';

/**
 * The event in a line of the server, without a parser: undefined for what is no event, has escapes, or is
 * not written as the server writes it. A program that writes much gets an event back for each write.
 *
 * The strings are parts of the line and keep all of it in memory, so they are to be compared and not kept.
 */
export function eventIn(line: string): CompleteEvent | undefined {
  if (!line.startsWith(START) || line.includes("\\")) return undefined;
  let at = START.length;
  let complete = true;
  // There are no escapes, so that a quotation mark is always the end of a string.
  const skip = (text: string): void => {
    complete &&= line.startsWith(text, at);
    at += text.length;
  };
  const number = (): number => {
    const start = at;
    while (line.charCodeAt(at) >= 0x30 && line.charCodeAt(at) <= 0x39) at++;
    complete &&= at > start;
    return Number(line.slice(start, at));
  };
  const text = (): string | null => {
    if (line.startsWith("null", at)) {
      at += 4;
      return null;
    }
    skip('"');
    const start = at;
    const end = line.indexOf('"', at);
    complete &&= end !== -1;
    at = end + 1;
    return line.slice(start, end);
  };
  const subscription = number();
  skip(',"storage":');
  const storage = number();
  skip(',"sequence":');
  const sequence = number();
  skip(',"key":');
  const key = text();
  skip(',"oldValue":');
  const oldValue = text();
  skip(',"newValue":');
  const newValue = text();
  skip(',"url":');
  const url = text();
  skip("}}");
  if (!complete || url === null || at !== line.length) return undefined;
  return { subscription, storage, sequence, key, oldValue, newValue, url };
}
