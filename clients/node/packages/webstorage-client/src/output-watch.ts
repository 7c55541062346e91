import { closeSync, readSync } from "node:fs";
import { Socket } from "node:net";

const { clearInterval, setInterval } = globalThis;

// How often a runtime that cannot wait for a FIFO looks whether it has something, in milliseconds.
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
  // Sockets on descriptors are refused by Deno and stay silent in Bun.
  const { bun, deno } = process.versions;
  return bun === undefined && deno === undefined ? watchSocket(descriptor, reader) : watchInterval(descriptor, reader);
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
  const timer = setInterval(() => {
    try {
      const length = readSync(descriptor, buffer);
      if (length > 0) reader.receive(buffer.subarray(0, length));
      else reader.end();
    } catch {
      // There is nothing to read now.
    }
  }, LOOK);
  timer.unref();
  return () => {
    clearInterval(timer);
    closeSync(descriptor);
  };
}
