//! Cancellation: while a call waits for another process, its client may send `$/cancelRequest`.
//!
//! Calls are handled in order by the one thread that reads them, so the cancellation of a call that waits is
//! still unread. The waits therefore look, every now and then, at what has come: whole messages behind the one
//! that is being handled, which stay where they are and are handled when it is their turn. A call that was
//! cancelled while another waited is refused when it begins.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use crate::frame::Decoder;
use crate::input::Input;
use crate::message::{self, Message};
use crate::params;
use crate::protocol::CancelRequest;

/// How often a waiting call looks at the input.
const INTERVAL: Duration = Duration::from_millis(1);

/// The calls of one connection, as far as they are known.
pub struct Calls {
    input: Arc<Mutex<Input>>,
    decoder: Arc<RwLock<Decoder>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The id of the call that is being handled; empty for none.
    current: String,
    /// The ids of the batch that is being handled.
    batch: Vec<String>,
    /// What is known of the messages behind the current one, once it has waited.
    behind: Option<Behind>,
    /// The ids of calls that were cancelled and not answered yet.
    cancelled: HashSet<String>,
}

/// The messages behind the one that is being handled.
struct Behind {
    decoder: Decoder,
    ids: HashSet<String>,
    looked: Instant,
}

/// The same text for all ways of writing one number as an id.
fn canonical(id: &str) -> Cow<'_, str> {
    if id.starts_with('"') {
        return Cow::Borrowed(id);
    }
    params::as_integer(id).map_or(Cow::Borrowed(id), Cow::Owned)
}

impl Calls {
    /// The calls that come from `input` through `decoder`.
    #[must_use]
    pub fn new(input: &Arc<Mutex<Input>>, decoder: &Arc<RwLock<Decoder>>) -> Self {
        Calls { input: Arc::clone(input), decoder: Arc::clone(decoder), state: Mutex::default() }
    }

    /// A call begins, or a notification, which cannot be cancelled. Returns whether it was cancelled already.
    #[must_use]
    pub fn begin(&self, id: Option<&str>) -> bool {
        let mut state = self.state.lock();
        let State { current, behind, cancelled, .. } = &mut *state;
        *behind = None;
        if !cancelled.is_empty() {
            cancelled.remove(current);
        }
        current.clear();
        current.push_str(&canonical(id.unwrap_or_default()));
        !cancelled.is_empty() && cancelled.contains(current)
    }

    /// A batch begins, or ends if it has no ids.
    pub fn set_batch(&self, ids: Vec<String>) {
        self.state.lock().batch = ids;
    }

    /// Whether the current call has been cancelled, and so has a reply that should not wait for later calls.
    #[must_use]
    pub fn is_current_cancelled(&self) -> bool {
        self.state.lock().is_current_cancelled()
    }

    /// Looks at the input whether the client has cancelled the current call. A call may ask again and again while
    /// it waits.
    #[must_use]
    pub fn look(&self) -> bool {
        let mut state = self.state.lock();
        let now = Instant::now();
        let is_first = state.behind.is_none();
        let behind = state.behind.get_or_insert_with(|| {
            // The loop of the connection holds it too, for the message that is being handled.
            let decoder = self.decoder.read_recursive();
            let mut copy = decoder.empty_copy();
            copy.feed(decoder.unread());
            copy.feed(self.input.lock().ahead());
            Behind { decoder: copy, ids: HashSet::new(), looked: now }
        });
        if !is_first && now - behind.looked < INTERVAL {
            return state.is_current_cancelled();
        }
        behind.looked = now;
        let came = self.input.lock().read_ahead(&mut |bytes| behind.decoder.feed(bytes));
        if came || is_first {
            state.take_in();
        }
        state.is_current_cancelled()
    }
}

impl State {
    fn is_current_cancelled(&self) -> bool {
        !self.current.is_empty() && self.cancelled.contains(&self.current)
    }

    /// Notes the calls and the cancellations among the messages behind the current one.
    fn take_in(&mut self) {
        let Some(mut behind) = self.behind.take() else { return };
        // What is broken is reported when it is its turn; nothing behind it is known.
        while let Ok(Some(frame)) = behind.decoder.next_frame() {
            match message::parse(behind.decoder.body(frame)) {
                Ok(Message::Batch(members)) => {
                    for member in members.into_iter().filter_map(|member| message::parse_single(member).ok()) {
                        self.note(&member, &mut behind.ids);
                    }
                }
                Ok(message) => self.note(&message, &mut behind.ids),
                Err(_) => {}
            }
        }
        self.behind = Some(behind);
    }

    fn note(&mut self, message: &Message<'_>, behind: &mut HashSet<String>) {
        match message {
            Message::Call { id, .. } => {
                behind.insert(canonical(id).into_owned());
            }
            Message::Notification { method, params } if method == "$/cancelRequest" => {
                if let Ok(cancel) = params::parse::<CancelRequest<'_>>(*params) {
                    let id = &*canonical(cancel.id.0.get());
                    // A call that is sent after the cancellation of its id is another one.
                    if id == self.current || behind.contains(id) || self.batch.iter().any(|member| canonical(member) == id) {
                        self.cancelled.insert(id.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
}
