import type { ChildProcess, SpawnSyncReturns } from "node:child_process";
import { constants } from "node:fs";
import { StorageFailure } from "./failure.js";
import { closeSync, fstatSync, openSync, readSync, spawn, spawnSync } from "./runtime.js";
import { makeThrowaway, removeThrowaway } from "./throwaway.js";

/** A server whose standard input and output are FIFOs that this process holds the other ends of. */
export interface FifoProcess {
  child: ChildProcess;
  /** Writes towards the server's input, without ever waiting. */
  input: number;
  /** Reads the server's output, without ever waiting: -EAGAIN when nothing is there. */
  output: number;
  /** Reads the same output, and waits for it. */
  blockingOutput: number;
  /** The end of what the server wrote to its standard error. */
  complaint(): string;
  /** Closes every descriptor but `output`, whose owner closes it; this ends the server's input. */
  close(): void;
}

interface Ends {
  read: number;
  write: number;
}

/**
 * Opens both ends of a FIFO without waiting for a peer: a reader that does not wait can always be
 * opened, and with it there every other end can be.
 */
function openEnds(path: string, readFlags: number, writeFlags: number): Ends & { first: number } {
  const first = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const write = openSync(path, constants.O_WRONLY | writeFlags);
  const read = openSync(path, constants.O_RDONLY | readFlags);
  return { first, write, read };
}

/** PATH may be anything in a program that found its server in other ways, so it is not the only place. */
function makeFifos(paths: string[]): SpawnSyncReturns<Buffer> {
  for (const program of ["mkfifo", "/usr/bin/mkfifo"]) {
    const made = spawnSync(program, ["-m", "600", ...paths]);
    if ((made.error as NodeJS.ErrnoException | undefined)?.code !== "ENOENT") return made;
  }
  return spawnSync("/bin/mkfifo", ["-m", "600", ...paths]);
}

function complaintIn(descriptor: number): string {
  const size = fstatSync(descriptor).size;
  const buffer = Buffer.alloc(Math.min(size, 2000));
  readSync(descriptor, buffer, 0, buffer.length, size - buffer.length);
  return buffer.toString("utf8").trim();
}

/**
 * Starts the server. FIFOs are the fastest way of a synchronous caller, and they are named only until
 * both processes hold them: afterwards the death of one is an end of file for the other, never a hang.
 */
export function startFifoProcess(program: string, args: string[]): FifoProcess {
  if (process.platform === "win32") {
    throw new StorageFailure(
      "NotSupportedError",
      "Synchronous storage needs FIFOs, which Windows does not have. Nothing was stored, and connect() has no server there either.",
    );
  }
  const directory = makeThrowaway("fifos");
  try {
    const [toServer, fromServer] = [`${directory}/in`, `${directory}/out`];
    const made = makeFifos([toServer, fromServer]);
    if (made.status !== 0) {
      throw new StorageFailure("UnknownError", `No FIFO could be made in ${directory}: ${made.error?.message ?? made.stderr.toString().trim()}. Nothing was stored.`);
    }
    const input = openEnds(toServer, 0, constants.O_NONBLOCK);
    const output = openEnds(fromServer, 0, 0);
    const errors = openSync(`${directory}/errors`, constants.O_RDWR | constants.O_CREAT | constants.O_APPEND, 0o600);
    // A process group of its own: an interrupt typed at the terminal must not take the server down
    // before it has read what the interrupted program wrote; the end of its input ends it.
    const child = spawn(program, args, { stdio: [input.read, output.write, errors], detached: true });
    child.on("error", () => undefined);
    child.unref();
    for (const spare of [input.first, input.read, output.write]) closeSync(spare);
    const process_: FifoProcess = {
      child,
      input: input.write,
      output: output.first,
      blockingOutput: output.read,
      complaint: () => complaintIn(errors),
      close() {
        for (const descriptor of [input.write, output.read, errors]) closeSync(descriptor);
      },
    };
    if (child.pid === undefined) {
      process_.close();
      closeSync(output.first);
      throw new StorageFailure("NotSupportedError", `The storage server ${program} could not be started. Nothing was stored. Check that it is a program for this machine.`);
    }
    return process_;
  } finally {
    removeThrowaway(directory);
  }
}
