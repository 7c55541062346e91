import { readFile } from "./runtime.js";

/** The numbers of fields in proc(5). */
export const FIELD = { state: 3, startTime: 22, exitStatus: 52 } as const;

/** What Linux knows of a process, by the numbers of the fields in proc(5) from the third on; undefined elsewhere. */
export function statOf(pid: number): ((field: number) => string) | undefined {
  try {
    const stat = readFile(`/proc/${pid}/stat`).toString("latin1");
    // The name of the program before the third field may have spaces and parentheses of its own.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (field) => fields[field - FIELD.state];
  } catch {
    return undefined;
  }
}
