//! Tests of the whole server, as its users meet it: through processes and pipes.

mod events;
mod framing;
mod journal;
mod listener;
mod overflow;
mod peer;
mod transact;
mod transcripts;
