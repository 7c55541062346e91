//! Tests of the whole server, as its users meet it: through processes and pipes.

mod client;
mod framing;
mod kill;
mod peer;
mod processes;
mod transact;
mod transcripts;
