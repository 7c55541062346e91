import { fromJson, readFile, statSync } from "./runtime.js";

/** The members of an object in their order. */
export type Members = [name: string, value: unknown][];

// A string of JSON, and the colon after it if it is the name of a member.
const STRING = /"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?/g;

/** Why a file is not what it should be; the sentence goes on after "which". */
export class NotJson extends Error {}

/**
 * The text of a file in UTF-8, without the byte order mark that it may begin with.
 *
 * Throws `NotJson` if it is no such file, and an error of the system if it cannot be read.
 */
export function textIn(path: string): string {
  // Reading a FIFO or a terminal would wait for somebody.
  if (!statSync(path).isFile()) throw new NotJson("is no regular file");
  const bytes = readFile(path);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new NotJson("is not UTF-8");
  }
}

/**
 * The value of JSON text. `members` tells what its objects have: `JSON.parse` alone would put names that look like
 * numbers before all others, and forget what is there twice.
 */
export function parseJson(text: string): { value: unknown; members(object: object): Members } {
  try {
    fromJson(text);
  } catch (error) {
    throw new NotJson(`is not JSON (${(error as Error).message})`);
  }
  // With its place before it every name is another one, and none looks like a number.
  const numbered = text.replace(STRING, (string: string, colon: string | undefined, place: number) =>
    colon === undefined ? string : `"@${place} ${string.slice(1)}`,
  );
  return {
    value: fromJson(numbered),
    members: (object) => Object.entries(object).map(([name, value]) => [name.slice(name.indexOf(" ") + 1), value]),
  };
}
