//! `--trace FILE`: every message as one line of JSON, for people who debug a host.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::dom_string::{IllFormed, write_json};
use crate::frame::write_decimal;
use crate::transcript::Recorder;

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
    /// Writes a transcript instead of lines of JSON.
    recorder: Option<Mutex<Recorder>>,
}

impl WireLog {
    /// Appends to `path`, which is created for its owner only: messages hold keys and values.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(WireLog { file: Mutex::new(open_private(OpenOptions::new().append(true), path)?), recorder: None })
    }

    /// Writes a transcript to `path`, which is made anew and for its owner only, beginning with `settings`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn transcript(path: &Path, settings: &str) -> io::Result<Self> {
        let mut file = open_private(OpenOptions::new().write(true).truncate(true), path)?;
        file.write_all(settings.as_bytes())?;
        Ok(WireLog { file: Mutex::new(file), recorder: Some(Mutex::default()) })
    }

    /// Writes `{"time", "process", "direction", "connection", "message"}`. `time` is in milliseconds since 1970. A message
    /// that is no JSON on one line is written as a string.
    pub fn record(&self, direction: Direction, connection: u64, message: &[u8]) {
        if let Some(recorder) = &self.recorder {
            let mut recorder = recorder.lock();
            let lines = recorder.lines(direction == Direction::In, connection, message);
            return self.append(lines.as_bytes());
        }
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let mut line = Vec::with_capacity(message.len() + 96);
        line.extend_from_slice(b"{\"time\":");
        write_decimal(time, &mut line);
        // Several processes may append to one file, and each counts its connections from 1.
        line.extend_from_slice(b",\"process\":");
        write_decimal(u64::from(std::process::id()), &mut line);
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
        self.append(&line);
    }

    fn append(&self, lines: &[u8]) {
        if let Err(error) = self.file.lock().write_all(lines) {
            tracing::warn!(%error, "the wire log cannot be written");
        }
    }
}

fn open_private(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.open(path)
}
