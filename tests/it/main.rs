//! Tests of the whole server, as its users meet it: through processes and pipes.

mod client;
mod files;
mod folder;
mod framing;
mod kill;
mod peer;
mod processes;
mod replaced;
mod transact;
mod transcripts;
