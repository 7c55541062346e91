//! The HTML standard's Web Storage over JSON-RPC 2.0, on SQLite.
//!
//! A tour, in the order in which a request passes:
//!
//! 1. [`transport`] gives a connection its [`input`] and [`output`]; [`background`] waits for signals beside it.
//! 2. [`peer`] is the loop of one connection of the [`server`]: it lets [`frame`] divide the bytes, [`message`] (with
//!    [`scan`] for the usual ones) tell what each is, and runs the method.
//! 3. [`methods`] is the one table of methods. Their wire types are [`protocol`]'s, [`params`] parses them and
//!    [`reply`] writes the results; [`openrpc`] describes them all.
//!    What can wait takes a [`wait`], which [`cancellation`] ends when its client no longer wants the call.
//! 4. [`connection`] finds the area that a handle stands for and the transaction that the call belongs to.
//! 5. [`area`] has the algorithms of the `Storage` interface, with [`index`] for `key(n)`. Its items are in the
//!    connection's [`session`] database or in a [`bottle`] of the [`shed`], whose file [`place`] opens and examines under
//!    its [`lock`].
//! 6. [`sqlite`] has every SQL statement.
//! 7. [`broadcast`] tells listeners of a change, through [`journal`] and [`watch`] those of other processes.
//!
//! Beside that way: [`cancellation`] of calls that wait, [`state_file`]s for import and export, [`test_controls`],
//! [`transcript`]s, which the tests hold and the command `replay` too, and [`wire_log`], which records what passes: as
//! lines of JSON, or with the transcripts' recorder as one of them.
//!
//! What always holds:
//!
//! - Every call gets one reply, in the order of the calls, also if its handler panics.
//! - A reply is handed to the output only after what it acknowledges is committed.
//! - Params and results are taken apart and put together in [`methods`]. Below them [`protocol`] gives the names of
//!   handles, subscriptions and forms of states, and what an error tells. Strings are [`dom_string`]s, exact in every
//!   16-bit unit.
//! - Every write to a file is in a transaction that held the write lock from its beginning and has seen that the
//!   file is still the one of that name.
//! - An error gets its code in [`error`] and nowhere else.

pub mod area;
pub mod background;
pub mod bottle;
pub mod broadcast;
pub mod cancellation;
pub mod connection;
pub mod dom_string;
pub mod error;
pub mod frame;
pub mod index;
pub mod input;
pub mod journal;
pub mod lock;
pub mod memory;
pub mod message;
pub mod method;
pub mod methods;
pub mod openrpc;
pub mod origin;
pub mod output;
pub mod params;
pub mod peer;
pub mod place;
pub mod protocol;
pub mod reply;
pub mod scan;
pub mod server;
pub mod session;
pub mod shed;
pub mod sqlite;
pub mod state_file;
pub mod test_controls;
pub mod transcript;
pub mod transport;
pub mod wait;
pub mod watch;
pub mod wire_log;
