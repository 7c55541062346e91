//! `--trace FILE`: every message as one line of JSON, for people who debug a host.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::dom_string::{IllFormed, write_json};
use crate::frame::write_decimal;

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client.
    In,
    /// To the client.
    Out,
}

/// The file that the messages of all connections are written to.
#[derive(Debug)]
pub struct WireLog {
    file: Mutex<File>,
}

impl WireLog {
    /// Appends to `path`, which is created for its owner only: messages hold keys and values.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(WireLog { file: Mutex::new(options.open(path)?) })
    }

    /// Writes `{"time", "direction", "connection", "message"}`. `time` is in milliseconds since 1970. A message
    /// that is no JSON on one line is written as a string.
    pub fn record(&self, direction: Direction, connection: u64, message: &[u8]) {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let mut line = Vec::with_capacity(message.len() + 96);
        line.extend_from_slice(b"{\"time\":");
        write_decimal(time, &mut line);
        line.extend_from_slice(match direction {
            Direction::In => b",\"direction\":\"in\",\"connection\":".as_slice(),
            Direction::Out => b",\"direction\":\"out\",\"connection\":".as_slice(),
        });
        write_decimal(connection, &mut line);
        line.extend_from_slice(b",\"message\":");
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(message).is_ok() && std::str::from_utf8(message).is_ok();
        if is_json {
            // A raw line feed can only stand between tokens, where a blank does as well.
            line.extend(message.trim_ascii().iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
        } else {
            write_json(String::from_utf8_lossy(message).as_bytes(), IllFormed::Escape, &mut line);
        }
        line.extend_from_slice(b"}\n");
        if let Err(error) = self.file.lock().write_all(&line) {
            tracing::warn!(%error, "the wire log cannot be written");
        }
    }
}
