//! The loop of one connection: read, dispatch in order, write.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use jsonrpsee::core::server::{Extensions, MethodCallback, RpcModule};
use jsonrpsee::types::{Id, Params};
use parking_lot::{Mutex, RwLock};

use crate::cancellation::Calls;
use crate::connection::{Connection, Phase};
use crate::error::Error;
use crate::frame::{Decoder, FrameError, Framing};
use crate::input::Input;
use crate::message::{self, Fault, Invalid, Message};
use crate::methods;
use crate::output::Output;
use crate::params;
use crate::protocol::ExecuteCommand;
use crate::reply::MAX_BATCH_REPLY;
use crate::server::Server;
use crate::wait::Wait;
use crate::wire_log::Direction;

/// Bytes of replies that are gathered before they are handed to the output.
const SEND_AT: usize = 256 << 10;

/// How a connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client asked for it, or closed its side: exit code 0.
    Clean,
    /// `exit` without `shutdown` before it, or a stream that cannot be understood: exit code 1.
    Unclean,
}

/// Ends a connection from another thread.
///
/// The loop is either waiting in `read`, which nothing can interrupt for every kind of file, or working.
/// While it waits it owns nothing, so that the other thread can do the ending itself; while it works it looks
/// at this state before it waits again.
#[derive(Debug, Default)]
pub struct Stop(AtomicU8);

const WAITING: u8 = 0;
const WORKING: u8 = 1;
const STOPPED: u8 = 2;

impl Stop {
    /// Asks the loop to end. `true` means that it is waiting and will do nothing any more: the caller ends the
    /// connection.
    #[must_use]
    pub fn stop(&self) -> bool {
        self.0.swap(STOPPED, Ordering::AcqRel) == WAITING
    }

    /// Whether the loop waits for input.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.0.load(Ordering::Acquire) == WAITING
    }

    /// The loop has input; `false` if it has been stopped.
    fn work(&self) -> bool {
        self.0.compare_exchange(WAITING, WORKING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The loop is about to wait; `false` if it has been stopped.
    fn wait(&self) -> bool {
        self.0.compare_exchange(WORKING, WAITING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// One connection and its way to the methods.
pub struct Peer {
    connection: Arc<Mutex<Connection>>,
    module: RpcModule<Mutex<Connection>>,
    server: Arc<Server>,
    output: Output,
    number: u64,
    stop: Arc<Stop>,
    answered: bool,
    calls: Option<Arc<Calls>>,
}

impl Peer {
    /// A connection that writes to `output`.
    #[must_use]
    pub fn new(server: &Arc<Server>, output: Output, number: u64) -> Self {
        let connection = Arc::new(Mutex::new(Connection::new(Arc::clone(server), output.clone(), number)));
        let module = methods::module(&connection);
        Peer { connection, module, server: Arc::clone(server), output, number, stop: Arc::default(), answered: false, calls: None }
    }

    /// Ends the loop from another thread.
    #[must_use]
    pub fn stopper(&self) -> Arc<Stop> {
        Arc::clone(&self.stop)
    }

    /// The connection's state.
    #[must_use]
    pub fn connection(&self) -> Arc<Mutex<Connection>> {
        Arc::clone(&self.connection)
    }

    /// Reads, handles and answers until the client or [`Stop`] ends it. What was read is answered.
    pub fn serve(&mut self, input: Input, decoder: Decoder) -> End {
        let _span = tracing::info_span!("connection", number = self.number).entered();
        tracing::debug!("begins");
        let (input, decoder) = (Arc::new(Mutex::new(input)), Arc::new(RwLock::new(decoder)));
        let calls = Arc::new(Calls::new(&input, &decoder));
        self.calls = Some(Arc::clone(&calls));
        // A bottle keeps the wait of whoever used it last. The input must not be kept with it: a client that waits for
        // the end of the connection would never see it.
        let calls = Arc::downgrade(&calls);
        let is_wanted = move || calls.upgrade().is_none_or(|calls| !calls.look());
        self.connection.lock().wait = Wait::new(self.server.busy_timeout, is_wanted);
        let end = loop {
            let read = input.lock().read(decoder.write().space(), self.answered);
            let count = match read {
                Ok(count) => count,
                Err(error) => {
                    tracing::warn!(%error, "the input cannot be read; everything acknowledged is stored");
                    break End::Unclean;
                }
            };
            if !self.stop.work() {
                // Another thread is ending the connection and the process.
                return End::Clean;
            }
            self.answered = false;
            decoder.write().filled(count);
            let ended = self.handle_frames(&decoder).or_else(|| (count == 0).then(|| self.handle_last(&decoder)));
            if self.flush().is_err() {
                tracing::debug!("nobody reads the output any more");
                break End::Clean;
            }
            if let Some(end) = ended {
                break end;
            }
            if !self.stop.wait() {
                break End::Clean;
            }
        };
        self.finish();
        let end = match self.output.failure() {
            // Replies that were due are lost, which is no good end, unless the reader itself has gone.
            Some(error) if !matches!(error, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                tracing::error!(%error, "the output cannot be written, so replies are lost; everything acknowledged is stored");
                End::Unclean
            }
            _ => end,
        };
        tracing::debug!(?end, "ends");
        end
    }

    /// Gives back what the connection holds of the storage, and then waits until every reply was written, as long as the
    /// client goes on reading.
    pub fn finish(&self) {
        self.connection.lock().end(&Wait::at_most(self.server.busy_timeout));
        self.output.drain_while_read(READER_PATIENCE);
        self.output.finish();
    }

    /// Handles every complete frame; the end, if one of them brings it.
    fn handle_frames(&mut self, decoder: &RwLock<Decoder>) -> Option<End> {
        loop {
            let next = decoder.write().next_frame();
            // A call that waits looks at the decoder too.
            let decoder = decoder.read();
            match next {
                Ok(Some(frame)) => {
                    let more = decoder.has_frame();
                    if let Some(end) = self.handle_frame(decoder.body(frame), decoder.framing(), more) {
                        return Some(end);
                    }
                }
                Ok(None) => {
                    self.connection.lock().end_group();
                    return None;
                }
                Err(error) => {
                    if let Some(end) = self.handle_broken(&error, decoder.framing()) {
                        return Some(end);
                    }
                }
            }
        }
    }

    /// Handles what is left when the input has ended.
    fn handle_last(&mut self, decoder: &RwLock<Decoder>) -> End {
        let last = decoder.write().last_frame();
        let decoder = decoder.read();
        match last {
            Ok(Some(frame)) => self.handle_frame(decoder.body(frame), decoder.framing(), false).unwrap_or(End::Clean),
            Ok(None) => End::Clean,
            Err(error) => self.handle_broken(&error, decoder.framing()).unwrap_or(End::Clean),
        }
    }

    fn handle_broken(&mut self, error: &FrameError, framing: Option<Framing>) -> Option<End> {
        // What was sent instead of a header may be what nobody else is to see.
        let shown: &dyn std::fmt::Display = match error {
            FrameError::Headers(_) if !self.server.log_values => &"the frame's headers are broken",
            error => error,
        };
        tracing::warn!(error = %shown, "a frame cannot be read");
        let answer = match error {
            FrameError::NoMemory { .. } => Error::Unknown { message: error.to_string(), sqlite_code: None },
            error => Error::Parse(error.to_string()),
        };
        self.answer_invalid(framing, "null", answer);
        if error.is_recoverable(framing) {
            return None;
        }
        Some(End::Unclean)
    }

    fn handle_frame(&mut self, frame: &[u8], framing: Option<Framing>, more: bool) -> Option<End> {
        if let Some(log) = &self.server.wire_log {
            log.record(Direction::In, self.number, frame);
        }
        let end = match message::parse(frame) {
            Ok(Message::Batch(members)) => self.handle_batch(&members, framing, more),
            parsed => self.handle_message(parsed, framing, more),
        };
        // Who cancels a call wants its reply now, not after the next call has waited too.
        let cancelled = self.calls.as_ref().is_some_and(|calls| calls.is_current_cancelled());
        if cancelled || self.connection.lock().replies.bytes().len() >= SEND_AT {
            // Replies wait for the commit of what they acknowledge.
            self.connection.lock().end_group();
            if self.flush().is_err() {
                return Some(End::Clean);
            }
        }
        end
    }

    fn handle_batch(&mut self, members: &[&str], framing: Option<Framing>, more: bool) -> Option<End> {
        if framing != Some(Framing::Lines) {
            self.answer_invalid(framing, "null", Error::InvalidRequest("LSP has no batches; send one call in a frame".to_owned()));
            return None;
        }
        {
            let mut connection = self.connection.lock();
            connection.replies.set_framing(Framing::Lines);
            // A commit that fails rewrites the replies that wait for it, so none of a call before the batch may be among them.
            connection.end_group();
            connection.replies.begin_batch();
        }
        if let Some(calls) = &self.calls {
            calls.set_batch(members.iter().filter_map(|member| id_of(member)).collect());
        }
        let before = self.connection.lock().replies.bytes().len();
        let mut end = None;
        for (index, member) in members.iter().enumerate() {
            let full = self.connection.lock().replies.bytes().len() - before > MAX_BATCH_REPLY;
            match message::parse_single(member) {
                Ok(Message::Call { id, .. }) if full => {
                    let why = format!("the replies to this batch exceed {MAX_BATCH_REPLY} bytes; this call was not executed");
                    self.answer_invalid(framing, id, Error::InvalidRequest(why));
                }
                parsed => end = end.or(self.handle_message(parsed, framing, more || index + 1 < members.len())),
            }
        }
        if let Some(calls) = &self.calls {
            calls.set_batch(Vec::new());
        }
        let mut connection = self.connection.lock();
        connection.end_group();
        connection.replies.end_batch();
        end
    }

    fn handle_message(
        &mut self,
        parsed: std::result::Result<Message<'_>, Invalid<'_>>,
        framing: Option<Framing>,
        more: bool,
    ) -> Option<End> {
        match parsed {
            Ok(Message::Call { id, method, params }) => {
                self.answered = true;
                self.dispatch(Some(id), &method, params, framing, more)
            }
            Ok(Message::Notification { method, params }) => self.dispatch(None, &method, params, framing, more),
            Ok(Message::Response) => {
                tracing::debug!("a response to no call of ours is ignored");
                None
            }
            Ok(Message::Batch(_)) => None,
            Err(Invalid { id, fault }) => {
                let error = match fault {
                    Fault::Parse(why) => Error::Parse(why),
                    Fault::Request(why) => Error::InvalidRequest(why),
                };
                self.answer_invalid(framing, id, error);
                None
            }
        }
    }

    fn answer_invalid(&mut self, framing: Option<Framing>, id: &str, error: Error) {
        let mut connection = self.connection.lock();
        if let Some(framing) = framing {
            connection.replies.set_framing(framing);
        }
        connection.more_waiting = false;
        connection.answer::<()>(Some(id), |_| Err(error));
    }

    /// Finds the method and runs it.
    fn dispatch(&mut self, id: Option<&str>, method: &str, params: Option<&str>, framing: Option<Framing>, more: bool) -> Option<End> {
        let span = tracing::debug_span!("call", method, id, bytes = params.map_or(0, str::len));
        let _entered = span.enter();
        if self.server.log_values {
            tracing::debug!(params, "handles");
        } else {
            tracing::debug!("handles");
        }
        {
            let mut connection = self.connection.lock();
            connection.more_waiting = more;
            connection.wait.begin();
            if let Some(framing) = framing {
                connection.replies.set_framing(framing);
            }
            if method == "exit" {
                connection.more_waiting = false;
                connection.answer(id, |_| Ok(()));
                return Some(if connection.phase == Phase::ShutDown { End::Clean } else { End::Unclean });
            }
            if connection.phase == Phase::ShutDown {
                if id.is_some() {
                    connection
                        .answer::<()>(id, |_| Err(Error::InvalidRequest("the server was shut down; only exit may follow".to_owned())));
                }
                return None;
            }
        }
        if self.calls.as_ref().is_some_and(|calls| calls.begin(id)) {
            self.connection.lock().answer::<()>(id, |_| Err(Error::Cancelled));
        } else if method == "workspace/executeCommand" {
            self.execute_command(id, params);
        } else {
            self.run(id, method, params);
        }
        None
    }

    /// Runs a storage method under its name as a command, for hosts that can send nothing else.
    fn execute_command(&mut self, id: Option<&str>, given: Option<&str>) {
        let translated = params::parse::<ExecuteCommand<'_>>(given).and_then(|command| {
            let method = methods::method_of_command(&command.command)
                .filter(|method| self.module.method(method).is_some())
                .ok_or_else(|| Error::param("command", format_args!("there is no command {:?}", command.command)))?;
            Ok((method, methods::params_of_arguments(command.arguments.map(serde_json::value::RawValue::get))?))
        });
        match translated {
            Ok((method, params)) => self.run(id, &method, params.as_deref()),
            Err(error) => self.connection.lock().answer::<()>(id, |_| Err(error)),
        }
    }

    fn run(&mut self, id: Option<&str>, method: &str, params: Option<&str>) {
        let Some(MethodCallback::Sync(callback)) = self.module.method(method) else {
            // Notifications that a server does not know are none of its business.
            if id.is_some() {
                let error = Error::MethodNotFound { method: method.to_owned(), nearest: methods::nearest(&self.module, method) };
                self.connection.lock().answer::<()>(id, |_| Err(error));
            }
            return;
        };
        let id_text = id.map_or(Id::Null, |id| Id::Str(id.into()));
        let ran = catch_unwind(AssertUnwindSafe(|| callback(id_text, Params::new(params), usize::MAX, Extensions::new())));
        if ran.is_err() {
            tracing::error!(method, "the handler of a call panicked; the call is answered with an error");
            self.connection.lock().answer_panic(id);
        }
    }

    /// Hands the replies to the output.
    fn flush(&mut self) -> std::result::Result<(), crate::output::Closed> {
        let mut connection = self.connection.lock();
        if connection.replies.bytes().is_empty() {
            // A subscription that was made by a notification has no reply to wait for.
            connection.release_subscriptions();
            return Ok(());
        }
        let sent = self.output.send(connection.replies.framing(), connection.replies.bytes());
        connection.replies.clear();
        connection.release_subscriptions();
        sent
    }
}

/// The id of a member of a batch, if it is a call.
fn id_of(member: &str) -> Option<String> {
    match message::parse_single(member) {
        Ok(Message::Call { id, .. }) => Some(id.to_owned()),
        _ => None,
    }
}

/// Numbers the connections of this process.
pub fn next_connection_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// For how long a client whose side of the conversation has ended may take nothing of the last replies: a person may read
/// them page by page.
const READER_PATIENCE: Duration = Duration::from_mins(1);

/// For how long a connection that is ended by a signal may take to write its last replies.
pub const DRAIN_TIME: Duration = Duration::from_secs(5);
