import { constants } from "node:fs";
import { delimiter } from "node:path";
import { StorageFailure } from "./failure.js";
import { accessSync, createRequire, cwd, resolve, statSync } from "./runtime.js";

const EXECUTABLE = process.platform === "win32" ? "webstorage-server.exe" : "webstorage-server";

/** The npm package that holds the server for this platform, such as `webstorage-server-linux-x64`. */
export function platformPackage(): string {
  return `webstorage-server-${process.platform}-${process.arch}`;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function named(path: string, origin: string): string {
  const absolute = resolve(path);
  if (isExecutable(absolute)) return absolute;
  throw new StorageFailure(
    "NotSupportedError",
    `The storage server named by ${origin} is not an executable file: ${absolute}. Nothing was stored. Correct the path, or leave it out to have the server looked for.`,
  );
}

function installed(): string | undefined {
  for (const start of [__filename, resolve(cwd(), "package.json")]) {
    try {
      const path = createRequire(start).resolve(`${platformPackage()}/bin/${EXECUTABLE}`);
      if (isExecutable(path)) return path;
    } catch {
      // The package is optional; the next place may have the server.
    }
  }
  return undefined;
}

/**
 * The path of the server: the one given, `WEBSTORAGE_SERVER`, the installed platform package, or the
 * first one on PATH. What is named explicitly is never replaced by something found elsewhere.
 */
export function locateServer(given?: string): string {
  if (given !== undefined) return named(given, "the option 'server'");
  const environment = process.env.WEBSTORAGE_SERVER;
  if (environment) return named(environment, "WEBSTORAGE_SERVER");
  const fromPackage = installed();
  if (fromPackage !== undefined) return fromPackage;
  for (const directory of (process.env.PATH ?? "").split(delimiter)) {
    const candidate = resolve(directory, EXECUTABLE);
    if (directory !== "" && isExecutable(candidate)) return candidate;
  }
  throw new StorageFailure(
    "NotSupportedError",
    `There is no webstorage-server to keep this storage, so nothing can be read or stored. Install the package ${platformPackage()} or the crate webstorage-server, ` +
      "or name the program in the option 'server' or in WEBSTORAGE_SERVER.",
  );
}
