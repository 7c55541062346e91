//! Tests of the whole server, as its users meet it: through processes and pipes.

mod events;
mod framing;
mod listener;
mod peer;
mod transact;
mod transcripts;
