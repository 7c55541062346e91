//! Replies: written into one buffer, framed, in the order of the calls.

use std::ops::Range;

use crate::dom_string::{DomString, IllFormed, serialize_as, write_json};
use crate::error::{Error, Result};
use crate::frame::{Framing, MAX_DECIMAL, decimal, write_decimal};
use crate::protocol::Item;

/// Bytes of replies to one batch. The calls after that are refused, because a batch has one reply and so
/// must be held in memory.
pub const MAX_BATCH_REPLY: usize = 64 << 20;

/// The replies of one connection that were not yet handed to its output.
#[derive(Debug)]
pub struct Replies {
    buffer: Vec<u8>,
    framing: Framing,
    ill_formed: IllFormed,
    /// Whether the replies are members of a batch, and if so whether one was written.
    batch: Option<bool>,
    /// Notifications that wait for the end of a batch.
    after_batch: Vec<u8>,
    /// The replies whose effects are not committed.
    uncommitted: Vec<Uncommitted>,
    /// How often the buffer was used since it last held more than its usual size.
    small_uses: u32,
}

/// Where a reply is that turns into an error if the commit fails.
#[derive(Debug)]
struct Uncommitted {
    reply: Range<usize>,
    id: Range<usize>,
}

/// A reply that is being written.
#[derive(Debug)]
pub struct Begun {
    start: usize,
    body: usize,
    id: Range<usize>,
    /// For how many digits of the reply's length there is room.
    digits: usize,
}

/// Something that can be the result of a call.
pub trait WriteResult {
    /// Appends the result as JSON.
    fn write(&self, ill_formed: IllFormed, out: &mut Vec<u8>);

    /// At least so many bytes will be written. Knowing it of a large result saves moving it.
    fn least_size(&self) -> usize {
        0
    }
}

/// A result that serde writes.
pub struct Plain<T>(pub T);

impl<T: serde::Serialize> WriteResult for Plain<T> {
    fn write(&self, ill_formed: IllFormed, out: &mut Vec<u8>) {
        serialize_as(ill_formed, || serde_json::to_writer(out, &self.0))
            .expect("the results are plain structs, and a vector takes any bytes");
    }
}

impl WriteResult for () {
    fn write(&self, _: IllFormed, out: &mut Vec<u8>) {
        out.extend_from_slice(b"null");
    }
}

impl WriteResult for bool {
    fn write(&self, _: IllFormed, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

impl WriteResult for u64 {
    fn write(&self, _: IllFormed, out: &mut Vec<u8>) {
        write_decimal(*self, out);
    }
}

impl WriteResult for DomString<'_> {
    fn write(&self, ill_formed: IllFormed, out: &mut Vec<u8>) {
        write_json(self.as_bytes(), ill_formed, out);
    }

    fn least_size(&self) -> usize {
        self.as_bytes().len()
    }
}

impl WriteResult for Item<'_> {
    fn write(&self, ill_formed: IllFormed, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"key\":");
        self.key.write(ill_formed, out);
        out.extend_from_slice(b",\"value\":");
        self.value.write(ill_formed, out);
        out.push(b'}');
    }

    fn least_size(&self) -> usize {
        br#"{"key":"","value":""}"#.len() + self.key.least_size() + self.value.least_size()
    }
}

impl<T: WriteResult> WriteResult for Option<T> {
    fn write(&self, ill_formed: IllFormed, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.write(ill_formed, out),
            None => out.extend_from_slice(b"null"),
        }
    }

    fn least_size(&self) -> usize {
        self.as_ref().map_or(0, T::least_size)
    }
}

impl<T: WriteResult> WriteResult for Vec<T> {
    fn write(&self, ill_formed: IllFormed, out: &mut Vec<u8>) {
        out.push(b'[');
        for (index, member) in self.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            member.write(ill_formed, out);
        }
        out.push(b']');
    }

    fn least_size(&self) -> usize {
        self.iter().map(|member| member.least_size() + 1).sum()
    }
}

/// The capacity of the buffer that is always kept, in bytes.
const USUAL_SIZE: usize = 64 << 10;

/// The capacity up to which the buffer is kept between large replies, in bytes. Growing it again costs as much
/// as writing the reply.
const MAX_KEPT: usize = 4 << 20;

/// Uses for small replies after which a larger buffer is given up.
const MAX_SMALL_USES: u32 = 64;

/// Bytes around a large result for which there is room: the headers, the id if it is no long text, names and quotes.
const AROUND: usize = 4 << 10;

/// No reply has fewer bytes.
const LEAST_SIZE: usize = 10;

impl Replies {
    /// No replies.
    #[must_use]
    pub fn new() -> Self {
        Replies {
            buffer: Vec::new(),
            framing: Framing::Headers,
            ill_formed: IllFormed::Escape,
            batch: None,
            after_batch: Vec::new(),
            uncommitted: Vec::new(),
            small_uses: 0,
        }
    }

    /// Uses this framing from now on.
    pub fn set_framing(&mut self, framing: Framing) {
        self.framing = framing;
    }

    /// The framing in use.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Writes lone surrogates this way from now on.
    pub fn set_ill_formed(&mut self, ill_formed: IllFormed) {
        self.ill_formed = ill_formed;
    }

    /// How lone surrogates are written.
    #[must_use]
    pub fn ill_formed(&self) -> IllFormed {
        self.ill_formed
    }

    /// The bytes of the replies so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Forgets the replies, after they were handed on.
    pub fn clear(&mut self) {
        debug_assert!(self.uncommitted.is_empty(), "a reply was handed on before its effect was committed");
        self.small_uses = if self.buffer.len() > USUAL_SIZE { 0 } else { self.small_uses.saturating_add(1) };
        self.buffer.clear();
        if self.buffer.capacity() > MAX_KEPT || (self.buffer.capacity() > USUAL_SIZE && self.small_uses > MAX_SMALL_USES) {
            self.buffer.shrink_to(USUAL_SIZE);
        }
    }

    /// Begins the reply array of a batch.
    pub fn begin_batch(&mut self) {
        self.batch = Some(false);
    }

    /// Ends the reply array of a batch; a batch of notifications has none.
    pub fn end_batch(&mut self) {
        if self.batch.take() == Some(true) {
            self.buffer.extend_from_slice(b"]\n");
        }
        self.buffer.append(&mut self.after_batch);
    }

    /// Appends notifications that have their frames, after the replies so far.
    pub fn notifications(&mut self, frames: &[u8]) {
        let place = if self.batch.is_some() { &mut self.after_batch } else { &mut self.buffer };
        place.extend_from_slice(frames);
    }

    /// Makes room for a reply with a result of so many bytes.
    ///
    /// # Errors
    /// When there is not enough memory.
    pub fn make_room(&mut self, size: usize) -> Result<()> {
        if size < USUAL_SIZE {
            return Ok(());
        }
        crate::memory::require(size)?;
        // The buffer grows by doubling, so that room for what is around the result must not be missing.
        crate::memory::reserve(&mut self.buffer, size + AROUND)
    }

    /// Begins a reply of at least `least_size` bytes to the call with this id, a JSON text.
    pub fn begin(&mut self, id: &str, least_size: usize) -> Begun {
        let start = self.buffer.len();
        let mut digits = [b'0'; MAX_DECIMAL];
        let digits = decimal(least_size.max(LEAST_SIZE) as u64, &mut digits);
        match (&mut self.batch, self.framing) {
            (Some(written), _) => {
                self.buffer.push(if std::mem::replace(written, true) { b',' } else { b'[' });
            }
            (None, Framing::Headers) => {
                self.buffer.extend_from_slice(b"Content-Length: ");
                self.buffer.extend_from_slice(digits);
                self.buffer.extend_from_slice(b"\r\n\r\n");
            }
            (None, Framing::Lines) => {}
        }
        let body = self.buffer.len();
        self.buffer.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
        let id_start = self.buffer.len();
        self.buffer.extend_from_slice(id.as_bytes());
        Begun { start, body, id: id_start..id_start + id.len(), digits: digits.len() }
    }

    /// Ends a reply with a result.
    pub fn succeed(&mut self, begun: &Begun, result: &dyn WriteResult) {
        self.buffer.extend_from_slice(b",\"result\":");
        result.write(self.ill_formed, &mut self.buffer);
        self.end(begun);
    }

    /// Ends a reply with an error.
    pub fn fail(&mut self, begun: &Begun, error: &Error) {
        self.buffer.truncate(begun.id.end);
        let (code, data) = error.code_and_data();
        let code = code.number();
        self.buffer.extend_from_slice(b",\"error\":{\"code\":");
        if code < 0 {
            self.buffer.push(b'-');
        }
        write_decimal(u64::from(code.unsigned_abs()), &mut self.buffer);
        self.buffer.extend_from_slice(b",\"message\":");
        write_json(error.to_string().as_bytes(), self.ill_formed, &mut self.buffer);
        self.buffer.extend_from_slice(b",\"data\":");
        Plain(data).write(self.ill_formed, &mut self.buffer);
        self.buffer.push(b'}');
        self.end(begun);
    }

    /// Undoes a reply that was begun at `start`, and everything after it.
    pub fn undo(&mut self, start: usize) {
        if self.batch.is_some() && self.buffer.get(start) == Some(&b'[') {
            self.batch = Some(false);
        }
        self.buffer.truncate(start);
    }

    /// Notes that a reply that was just ended stands for something that is not committed yet.
    pub fn await_commit(&mut self, begun: &Begun) {
        // The length of a header may have moved the id.
        let end = self.buffer.len();
        let moved = self.id_offset(begun);
        self.uncommitted.push(Uncommitted { reply: begun.start..end, id: begun.id.start + moved..begun.id.end + moved });
    }

    /// The noted replies are true now.
    pub fn committed(&mut self) {
        self.uncommitted.clear();
    }

    /// How many replies are noted.
    #[must_use]
    pub fn uncommitted(&self) -> usize {
        self.uncommitted.len()
    }

    /// Replaces the noted replies by an error, because the commit has failed.
    pub fn fail_uncommitted(&mut self, error: &Error) {
        let uncommitted = std::mem::take(&mut self.uncommitted);
        let Some(first) = uncommitted.first() else { return };
        let tail = self.buffer.split_off(first.reply.start);
        let offset = first.reply.start;
        let batch = self.batch;
        let mut copied = offset;
        for Uncommitted { reply, id } in uncommitted {
            self.buffer.extend_from_slice(&tail[copied - offset..reply.start - offset]);
            let id = String::from_utf8_lossy(&tail[id.start - offset..id.end - offset]).into_owned();
            if batch.is_some() {
                self.batch = Some(tail[reply.start - offset] == b',');
            }
            let begun = self.begin(&id, 0);
            self.fail(&begun, error);
            copied = reply.end;
        }
        self.buffer.extend_from_slice(&tail[copied - offset..]);
        self.batch = batch;
    }

    /// Appends a whole message in its frame.
    pub fn message(&mut self, body: &[u8]) {
        crate::frame::encode(self.framing, body, &mut self.buffer);
    }

    fn end(&mut self, begun: &Begun) {
        self.buffer.push(b'}');
        match (self.batch, self.framing) {
            (Some(_), _) => {}
            (None, Framing::Lines) => self.buffer.push(b'\n'),
            (None, Framing::Headers) => {
                let length = self.buffer.len() - begun.body;
                let mut digits = [0; MAX_DECIMAL];
                let digits = decimal(length as u64, &mut digits);
                let place = begun.body - 4 - begun.digits;
                if let Some(missing @ 1..) = digits.len().checked_sub(begun.digits) {
                    let end = self.buffer.len();
                    self.buffer.resize(end + missing, 0);
                    self.buffer.copy_within(begun.body - 4..end, begun.body - 4 + missing);
                }
                self.buffer[place..place + digits.len()].copy_from_slice(digits);
            }
        }
    }

    /// By how much the digits of its length have moved the body of an ended reply.
    fn id_offset(&self, begun: &Begun) -> usize {
        if self.batch.is_some() || self.framing == Framing::Lines {
            return 0;
        }
        let digits = self.buffer[begun.body - 4 - begun.digits..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        digits - begun.digits
    }
}

impl Default for Replies {
    fn default() -> Self {
        Replies::new()
    }
}
