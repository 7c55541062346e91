import { isMainThread } from "node:worker_threads";
import { clearImmediate, clearInterval, closeSync, readSync, setImmediate, setInterval, Socket } from "./runtime.js";

// How often a thread that cannot wait for a FIFO looks whether it has something, in milliseconds.
const LOOK = 10;

/** Who takes in what arrives between tasks. */
export interface OutputReader {
  /** The bytes are valid for the time of the call. */
  receive(bytes: Buffer): void;
  end(): void;
}

/**
 * Reads a descriptor that does not block in the event loop, without keeping the process alive for it.
 * Others may read the descriptor as well. Returns what ends the watch and closes the descriptor.
 */
export function watchOutput(descriptor: number, reader: OutputReader): () => void {
  // Sockets on descriptors are refused by Deno and stay silent in Bun. In a worker thread Node closes at the
  // thread's end each descriptor that was opened there and not closed by `closeSync`. A socket closes its
  // own unseen by that, and the second close would hit what another thread has opened meanwhile.
  const { bun, deno } = process.versions;
  const sockets = isMainThread && bun === undefined && deno === undefined;
  return sockets ? watchSocket(descriptor, reader) : watchInterval(descriptor, reader);
}

function watchSocket(descriptor: number, reader: OutputReader): () => void {
  const socket = new Socket({
    fd: descriptor,
    readable: true,
    writable: false,
    onread: {
      buffer: Buffer.allocUnsafe(64 * 1024),
      callback: (length: number, buffer: Uint8Array) => {
        reader.receive(Buffer.from(buffer.buffer, buffer.byteOffset, length));
        return true;
      },
    },
  } as ConstructorParameters<typeof Socket>[0]);
  // What is wrong with the descriptor shows when it is read for an answer.
  socket.on("error", () => undefined);
  socket.on("end", () => reader.end());
  socket.unref();
  socket.read(0);
  return () => socket.destroy();
}

function watchInterval(descriptor: number, reader: OutputReader): () => void {
  const buffer = Buffer.allocUnsafe(64 * 1024);
  let soon: NodeJS.Immediate | undefined;
  const look = () => {
    let length: number;
    try {
      length = readSync(descriptor, buffer);
    } catch {
      // There is nothing to read now.
      return;
    }
    if (length === 0) {
      clearInterval(timer);
      reader.end();
      return;
    }
    // More of a burst is not left to wait for the next interval.
    clearImmediate(soon);
    soon = setImmediate(look);
    soon.unref();
    reader.receive(buffer.subarray(0, length));
  };
  const timer = setInterval(look, LOOK);
  timer.unref();
  return () => {
    clearInterval(timer);
    clearImmediate(soon);
    closeSync(descriptor);
  };
}
