'use strict';
// A connection to a webstorage-server of its own: framing, calls, events. Nothing here knows of VS Code.

const { spawn } = require('node:child_process');

/** An error of the server or of the connection: `name` is that of the DOMException, `data` has its numbers. */
class StorageError extends Error {
  constructor(name, message, code, data) {
    super(message);
    this.name = name;
    this.code = code;
    this.data = data;
  }
}

function toStorageError({ code, message, data }) {
  return new StorageError(data?.name ?? 'Error', message, code, data);
}

/** Calls `onMessage` for each message of `stream`: Content-Length headers, then JSON in UTF-8. */
function readMessages(stream, onMessage) {
  let chunks = [];
  let size = 0;
  let wanted = 0;
  let length = -1;
  stream.on('data', (chunk) => {
    chunks.push(chunk);
    size += chunk.length;
    // A long message comes in many chunks, which are joined once, when it is complete.
    while (size >= wanted) {
      const bytes = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
      if (length < 0) {
        const end = bytes.indexOf('\r\n\r\n');
        if (end < 0) {
          chunks = [bytes];
          wanted = size + 1;
          return;
        }
        length = Number(/^content-length: *(\d+)/im.exec(bytes.toString('latin1', 0, end))[1]);
        chunks = [bytes.subarray(end + 4)];
        size = chunks[0].length;
        wanted = length;
      } else {
        chunks = [bytes.subarray(length)];
        size = chunks[0].length;
        const text = bytes.toString('utf8', 0, length);
        length = -1;
        wanted = 1;
        onMessage(JSON.parse(text));
      }
    }
  });
}

/** A connection. `ended` says why no call can be answered any more, or is undefined. */
class Connection {
  constructor(command, args, timeout) {
    this.timeout = timeout;
    this.ended = undefined;
    this.pending = new Map();
    this.listeners = new Map();
    this.nextId = 0;
    this.stopping = false;
    let told = '';
    this.process = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], windowsHide: true });
    this.exited = new Promise((resolve) => {
      this.process.on('error', (error) => {
        const missing = error.code === 'ENOENT' || error.code === 'EACCES';
        this.#end(
          missing ? 'NotFoundError' : 'InvalidStateError',
          missing
            ? `the server "${command}" was not found or is not executable: put webstorage-server on PATH, or set webstorage.serverPath`
            : `the server "${command}" cannot be started: ${error.message}`,
        );
        resolve(null);
      });
      this.process.on('close', (code, signal) => {
        const how = signal ? `by ${signal}` : `with code ${code}`;
        this.#end('InvalidStateError', this.stopping ? 'the connection was stopped' : `the server ended ${how}. ${told.trim()}`.trim());
        resolve(code);
      });
    });
    // A write to a server that has ended fails here as well; its end is told by 'close'.
    this.process.stdin.on('error', () => {});
    this.process.stderr.on('data', (chunk) => {
      told = (told + chunk).slice(-2000);
    });
    readMessages(this.process.stdout, (message) => this.#receive(message));
  }

  #end(name, message) {
    if (this.ended) return;
    this.ended = new StorageError(name, message);
    this.#failPending(this.ended);
  }

  #failPending(error) {
    for (const { reject, timer } of this.pending.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.pending.clear();
  }

  #receive({ id, method, params, result, error }) {
    if (method !== undefined) {
      this.listeners.get(params?.subscription)?.(method, params);
      return;
    }
    if (error && (id === null || id === undefined)) {
      // The server could not read a message, so that it cannot say whose reply this is. Nobody is left waiting for one.
      this.#failPending(toStorageError(error));
      return;
    }
    const call = this.pending.get(id);
    if (!call) return;
    this.pending.delete(id);
    clearTimeout(call.timer);
    if (error) {
      call.reject(toStorageError(error));
    } else {
      // Before the next message is looked at, which may be an event that needs what this one brings.
      call.received?.(result);
      call.resolve(result);
    }
  }

  #send(message) {
    const body = Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...message }));
    this.process.stdin.write(Buffer.concat([Buffer.from(`Content-Length: ${body.length}\r\n\r\n`), body]));
  }

  notify(method, params) {
    if (!this.ended) this.#send({ method, params });
  }

  call(method, params, received) {
    if (this.ended) return Promise.reject(this.ended);
    return new Promise((resolve, reject) => {
      const id = this.nextId++;
      const timer = setTimeout(() => {
        this.pending.delete(id);
        reject(new StorageError('TimeoutError', `${method} had no reply within ${this.timeout} ms; it may still take effect`));
      }, this.timeout);
      this.pending.set(id, { resolve, reject, received, timer });
      this.#send({ id, method, params });
    });
  }

  /** Stops the server: what was sent is carried out first. Resolves with its exit code. */
  async stop() {
    if (!this.ended && !this.stopping) {
      this.stopping = true;
      // A server that does not end by itself must not outlive the editor.
      const timer = setTimeout(() => this.process.kill('SIGKILL'), this.timeout);
      this.exited.then(() => clearTimeout(timer));
      await this.call('shutdown').catch(() => {});
      this.notify('exit');
      this.process.stdin.end();
    }
    return this.exited;
  }

  /** Ends a server that does not answer. */
  kill() {
    this.process.kill('SIGKILL');
    return this.exited;
  }
}

module.exports = { Connection, StorageError, readMessages };
