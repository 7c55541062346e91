import { accessSync, constants } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of the workspace. */
export const root = fileURLToPath(new URL("../", import.meta.url));

/** The server that every suite runs against: WEBSTORAGE_SERVER, or the release build of this repository. */
export function serverPath() {
  // The client gives the path without the dots that ./test leaves in it.
  const path = resolve(process.env.WEBSTORAGE_SERVER ?? fileURLToPath(new URL("../../../target/release/webstorage-server", import.meta.url)));
  accessSync(path, constants.X_OK);
  return path;
}
