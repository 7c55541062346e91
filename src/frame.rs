//! Framing: where one message ends and the next begins, in both directions.
//!
//! Two framings are spoken. `Content-Length` headers before each message, as in the Language Server
//! Protocol, or one JSON text a line. The first byte that is not blank decides for the connection: `{`
//! or `[` means lines. Replies use the framing of the calls.

mod headers;

use memchr::memchr;
use thiserror::Error;

use self::headers::parse_headers;

/// How messages are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `Content-Length: N`, a blank line, N bytes.
    Headers,
    /// One JSON text, then a line feed.
    Lines,
}

/// A stream that cannot be divided into messages.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// The header block is wrong; where the next message begins is not known.
    #[error("the frame's headers are broken: {0}")]
    Headers(String),
    /// The message is larger than this connection accepts.
    #[error("the message has {length} bytes, more than the {limit} this server accepts (see --max-message-size)")]
    TooLarge {
        /// The length that was declared, or the bytes that came before the line was given up.
        length: u64,
        /// The largest accepted length.
        limit: usize,
    },
    /// There is no memory for the message; it is skipped.
    #[error("there is not enough memory for the message, which was skipped after {length} bytes. Nothing was changed.")]
    NoMemory {
        /// The bytes that had come.
        length: usize,
    },
    /// The stream ended inside a message.
    #[error("the input ended inside a message: {0}")]
    Truncated(&'static str),
}

impl FrameError {
    /// Whether the stream is still in step, so that the next message can be read. Only an overlong line
    /// is: it ends at its line feed. A message without memory is skipped in either framing.
    #[must_use]
    pub fn is_recoverable(&self, framing: Option<Framing>) -> bool {
        match self {
            FrameError::TooLarge { .. } => framing == Some(Framing::Lines),
            FrameError::NoMemory { .. } => true,
            FrameError::Headers(_) | FrameError::Truncated(_) => false,
        }
    }
}

/// The least room offered to one read, in bytes: what a pipe holds.
const READ_SIZE: usize = 64 * 1024;

/// The size of the buffer that is always kept, in bytes.
const USUAL_SIZE: usize = 2 * READ_SIZE;

/// The size up to which a buffer is kept between large messages, in bytes.
const MAX_KEPT: usize = 4 << 20;

/// Reads of small messages after which a larger buffer is given up.
const MAX_SMALL_READS: u32 = 64;

/// Divides a stream of bytes into messages.
///
/// Bytes are read into [`Decoder::space`], announced with [`Decoder::filled`], and messages taken with
/// [`Decoder::next_frame`] as ranges of [`Decoder::body`]. The buffer grows as bytes arrive, never by
/// what a header declares.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// How many of the bytes from `start` on are known to hold no line feed.
    scanned: usize,
    framing: Option<Framing>,
    limit: usize,
    any_header: bool,
    skipping_line: bool,
    /// Bytes of a message with headers that are still to be skipped.
    skipping: usize,
    /// The bytes that had come of a message for which there was no memory, until that is told.
    given_up: Option<usize>,
    at_stream_start: bool,
    /// Reads since one filled more than the buffer's usual size.
    small_reads: u32,
}

impl Decoder {
    /// A decoder that accepts messages of up to `limit` bytes. `any_header` says whether headers other than
    /// `Content-Length` and `Content-Type` are ignored (a host's own pipe) or refused (a socket, where they
    /// mean that a web browser is speaking).
    #[must_use]
    pub fn new(limit: usize, any_header: bool) -> Self {
        Decoder {
            buffer: Vec::new(),
            start: 0,
            end: 0,
            scanned: 0,
            framing: None,
            limit,
            any_header,
            skipping_line: false,
            skipping: 0,
            given_up: None,
            at_stream_start: true,
            small_reads: 0,
        }
    }

    /// The framing, once the first byte has decided it.
    #[must_use]
    pub fn framing(&self) -> Option<Framing> {
        self.framing
    }

    /// Room for the next read: at least 64 KiB, unless not even that can be had. A message for which there is no memory is
    /// given up.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            // A buffer that grew for a large message is kept while more of them come, because growing it again
            // costs as much as reading the message.
            self.small_reads = if self.end > USUAL_SIZE { 0 } else { self.small_reads.saturating_add(1) };
            self.start = 0;
            self.end = 0;
            if self.buffer.len() > MAX_KEPT || (self.buffer.len() > USUAL_SIZE && self.small_reads > MAX_SMALL_READS) {
                self.buffer = Vec::new();
            }
        } else if self.start > 0 && self.buffer.len() - self.end < READ_SIZE {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() - self.end < READ_SIZE {
            let wanted = (self.end + READ_SIZE).max(self.buffer.len() * 2);
            let least = self.end + READ_SIZE;
            let more = [wanted, least].map(|size| size.saturating_sub(self.buffer.len()));
            match more.into_iter().find(|more| crate::memory::is_left(*more) && self.buffer.try_reserve_exact(*more).is_ok()) {
                Some(more) => self.buffer.resize(self.buffer.len() + more, 0),
                None => self.give_up(),
            }
        }
        &mut self.buffer[self.end..]
    }

    /// Forgets the message that is being read, and skips the rest of it.
    #[cold]
    fn give_up(&mut self) {
        let unread = &self.buffer[self.start..self.end];
        match self.framing {
            Some(Framing::Headers) => match parse_headers(unread, self.any_header) {
                Ok(Some(headers)) => self.skipping = (headers.size + headers.length).saturating_sub(unread.len()),
                // Such a block of headers is refused long before it is so large.
                _ => return,
            },
            _ => self.skipping_line = true,
        }
        self.given_up = Some(unread.len());
        (self.start, self.end, self.scanned) = (0, 0, 0);
        self.buffer.truncate(USUAL_SIZE);
        self.buffer.shrink_to_fit();
    }

    /// Announces that `count` bytes were read into [`Decoder::space`].
    pub fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// Takes bytes that were read elsewhere.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.space();
            let count = bytes.len().min(space.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.filled(count);
            bytes = &bytes[count..];
        }
    }

    /// A decoder without bytes for another reading of the same stream, between two messages.
    #[must_use]
    pub fn empty_copy(&self) -> Self {
        Decoder { framing: self.framing, at_stream_start: false, ..Decoder::new(self.limit, self.any_header) }
    }

    /// The bytes of a message whose range [`Decoder::next_frame`] gave.
    #[must_use]
    pub fn body(&self, frame: std::ops::Range<usize>) -> &[u8] {
        &self.buffer[frame]
    }

    /// The bytes that were read and not yet taken as messages.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Whether another complete message probably waits: cheap, and wrong only for a broken one.
    #[must_use]
    pub fn has_frame(&self) -> bool {
        if self.start == self.end {
            return false;
        }
        let unread = &self.buffer[self.start..self.end];
        match self.framing {
            Some(Framing::Lines) => memchr(b'\n', unread).is_some(),
            Some(Framing::Headers) => {
                matches!(parse_headers(unread, self.any_header), Ok(Some(headers)) if headers.size + headers.length <= unread.len())
            }
            None => false,
        }
    }

    /// Takes the next complete message, as a range for [`Decoder::body`]; `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the stream is broken or the message too large. After an error that
    /// [is recoverable](FrameError::is_recoverable) the next message can be taken; after any other the
    /// stream has no further messages.
    pub fn next_frame(&mut self) -> Result<Option<std::ops::Range<usize>>, FrameError> {
        if let Some(length) = self.given_up.take() {
            return Err(FrameError::NoMemory { length });
        }
        if self.framing.is_none() && !self.decide_framing() {
            return Ok(None);
        }
        match self.framing {
            Some(Framing::Lines) => self.next_line(),
            _ => self.next_headed(),
        }
    }

    /// Takes what is left when the input has ended: a last line needs no line feed.
    ///
    /// # Errors
    /// When the input ended inside a message.
    pub fn last_frame(&mut self) -> Result<Option<std::ops::Range<usize>>, FrameError> {
        let rest = self.start..self.end;
        self.start = self.end;
        self.scanned = 0;
        if self.skipping_line || self.buffer[rest.clone()].iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        match self.framing {
            Some(Framing::Lines) => Ok(Some(rest)),
            _ => match parse_headers(&self.buffer[rest], self.any_header)? {
                None => Err(FrameError::Truncated("its headers are not complete")),
                Some(_) => Err(FrameError::Truncated("it is shorter than its Content-Length")),
            },
        }
    }

    fn decide_framing(&mut self) -> bool {
        const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
        if self.at_stream_start {
            let unread = &self.buffer[self.start..self.end];
            if unread.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(unread) {
                return false;
            }
            if unread.starts_with(BYTE_ORDER_MARK) {
                self.start += BYTE_ORDER_MARK.len();
            }
            self.at_stream_start = false;
        }
        self.skip_blanks(u8::is_ascii_whitespace);
        if self.start == self.end {
            return false;
        }
        let first = self.buffer[self.start];
        self.framing = Some(if first == b'{' || first == b'[' { Framing::Lines } else { Framing::Headers });
        true
    }

    fn skip_blanks(&mut self, blank: impl Fn(&u8) -> bool) {
        let unread = &self.buffer[self.start..self.end];
        self.start += unread.iter().position(|byte| !blank(byte)).unwrap_or(unread.len());
    }

    fn next_line(&mut self) -> Result<Option<std::ops::Range<usize>>, FrameError> {
        loop {
            let unread = &self.buffer[self.start..self.end];
            let Some(found) = memchr(b'\n', &unread[self.scanned..]) else {
                self.scanned = unread.len();
                if self.skipping_line {
                    self.start = self.end;
                    self.scanned = 0;
                } else if unread.len() > self.limit {
                    let length = unread.len() as u64;
                    self.skipping_line = true;
                    return Err(FrameError::TooLarge { length, limit: self.limit });
                }
                return Ok(None);
            };
            let line = self.start..self.start + self.scanned + found;
            self.start = line.end + 1;
            self.scanned = 0;
            if std::mem::take(&mut self.skipping_line) {
                continue;
            }
            if line.len() > self.limit {
                return Err(FrameError::TooLarge { length: line.len() as u64, limit: self.limit });
            }
            if !self.buffer[line.clone()].iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(line));
            }
        }
    }

    fn next_headed(&mut self) -> Result<Option<std::ops::Range<usize>>, FrameError> {
        if self.skipping > 0 {
            let skipped = self.skipping.min(self.end - self.start);
            self.start += skipped;
            self.skipping -= skipped;
            if self.skipping > 0 {
                return Ok(None);
            }
        }
        self.skip_blanks(|byte| matches!(byte, b'\r' | b'\n'));
        let unread = &self.buffer[self.start..self.end];
        let Some(headers) = parse_headers(unread, self.any_header)? else {
            return Ok(None);
        };
        if headers.length > self.limit {
            return Err(FrameError::TooLarge { length: headers.length as u64, limit: self.limit });
        }
        if unread.len() < headers.size + headers.length {
            return Ok(None);
        }
        let body = self.start + headers.size..self.start + headers.size + headers.length;
        self.start = body.end;
        Ok(Some(body))
    }
}

/// Appends a message to `out` in its frame.
pub fn encode(framing: Framing, message: &[u8], out: &mut Vec<u8>) {
    match framing {
        Framing::Headers => {
            write_headers(message.len(), out);
            out.extend_from_slice(message);
        }
        Framing::Lines => {
            out.extend_from_slice(message);
            out.push(b'\n');
        }
    }
}

/// Appends the header block of a message of `length` bytes.
pub fn write_headers(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Content-Length: ");
    write_decimal(length as u64, out);
    out.extend_from_slice(b"\r\n\r\n");
}

/// Appends a number in decimal digits.
pub fn write_decimal(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(decimal(number, &mut [0; MAX_DECIMAL]));
}

/// The most decimal digits that a number has.
pub const MAX_DECIMAL: usize = 20;

/// The decimal digits of a number, written into `digits`.
pub fn decimal(mut number: u64, digits: &mut [u8; MAX_DECIMAL]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).expect("a remainder of ten fits");
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(input: &[u8]) -> (Vec<Vec<u8>>, Option<FrameError>) {
        let mut decoder = Decoder::new(1 << 20, true);
        let mut frames = Vec::new();
        decoder.space()[..input.len()].copy_from_slice(input);
        decoder.filled(input.len());
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(decoder.body(frame).to_vec()),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        match decoder.last_frame() {
            Ok(Some(frame)) => frames.push(decoder.body(frame).to_vec()),
            Ok(None) => {}
            Err(error) => return (frames, Some(error)),
        }
        (frames, None)
    }

    #[test]
    fn the_first_byte_decides() {
        assert_eq!(
            decode(b"\n {}\n[]"),
            (vec![b" {}".to_vec(), b"[]".to_vec()].into_iter().map(|f| f.trim_ascii().to_vec()).collect(), None)
        );
        assert_eq!(decode(b"Content-Length: 2\r\n\r\n{}").0, [b"{}"]);
        assert_eq!(decode(b"\xEF\xBB\xBF{}\n").0, [b"{}"]);
    }

    #[test]
    fn headers_in_any_case_and_order() {
        let input = b"content-type: application/vscode-jsonrpc; charset=utf8\ncontent-length:2\n\n{}CONTENT-LENGTH: 2\r\nContent-Length: 2\r\n\r\n[]";
        assert_eq!(decode(input), (vec![b"{}".to_vec(), b"[]".to_vec()], None));
    }

    #[test]
    fn broken_lengths_are_refused() {
        for length in ["", "-5", "-1", "+2", "0x10", "2abc", "1 2", "18446744073709551616", "1000000000000000000000000"] {
            let (frames, error) = decode(format!("Content-Length: {length}\r\n\r\n{{}}").as_bytes());
            assert!(frames.is_empty() && matches!(error, Some(FrameError::Headers(_))), "{length}: {error:?}");
        }
        let (_, error) = decode(b"Content-Length: 1000000000000000\r\n\r\n");
        assert!(matches!(error, Some(FrameError::TooLarge { .. })), "{error:?}");
    }

    #[test]
    fn an_overlong_line_costs_only_itself() {
        let mut decoder = Decoder::new(4, true);
        let input = b"{}\n[1,2,3,4]\n{}\n";
        decoder.space()[..input.len()].copy_from_slice(input);
        decoder.filled(input.len());
        assert!(matches!(decoder.next_frame(), Ok(Some(_))));
        let error = decoder.next_frame().expect_err("the line is longer than four bytes");
        assert!(error.is_recoverable(decoder.framing()));
        assert!(matches!(decoder.next_frame(), Ok(Some(_))));
    }

    #[test]
    fn decimals() {
        for number in [0, 9, 10, 12_345, u64::MAX] {
            let mut out = Vec::new();
            write_decimal(number, &mut out);
            assert_eq!(out, number.to_string().into_bytes());
        }
    }
}
