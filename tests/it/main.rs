//! Tests of the whole server, as its users meet it: through processes and pipes.

mod document;
mod framing;
mod other_programs;
mod peer;
mod salvage;
mod transact;
mod transcripts;
