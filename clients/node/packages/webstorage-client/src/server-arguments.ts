import { resolve } from "./runtime.js";

// In UTF-8 no string of a program is larger than this, so that the quota decides what is too large.
const MESSAGE_SIZE = 2 ** 31 - 1;

/** The arguments of a server of this process; without a directory it has its own default, with `false` none. */
export function serverArguments(storageDir: string | false | undefined, origin?: string): string[] {
  const args = ["--stdio", "--clientProcessId", String(process.pid), "--max-message-size", String(MESSAGE_SIZE)];
  if (storageDir === false) args.push("--no-persistent");
  else if (storageDir !== undefined) args.push("--storage-dir", resolve(storageDir));
  if (origin !== undefined) args.push("--origin", origin);
  return args;
}
