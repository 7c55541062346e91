import type { ChildProcess } from "node:child_process";
import { constants } from "node:os";
import { FIELD, statOf } from "./proc.js";
import { now } from "./runtime.js";
import { sleep } from "./sleep.js";

// A process that is ending has closed its output a moment before its end can be seen, in milliseconds.
const MOMENT = 500;

function signalName(number: number): string {
  const [name] = Object.entries(constants.signals).find(([, value]) => value === number) ?? [`signal ${number}`];
  return name;
}

/**
 * How a child process whose output has ended came to its own end, such as `exit code 1` or `SIGKILL`; undefined if
 * that is not known. The event loop tells it later than a script that blocks needs it, but Linux keeps it for the loop.
 */
export function endOfChild(child: ChildProcess): string | undefined {
  const end = now() + MOMENT;
  for (;;) {
    if (child.exitCode !== null) return `exit code ${child.exitCode}`;
    if (child.signalCode !== null) return child.signalCode;
    const stat = statOf(child.pid as number);
    if (stat === undefined) return undefined;
    if (stat(FIELD.state) === "Z") {
      const status = Number(stat(FIELD.exitStatus));
      return (status & 0x7f) === 0 ? `exit code ${status >> 8}` : signalName(status & 0x7f);
    }
    if (now() > end) return undefined;
    sleep(1);
  }
}
