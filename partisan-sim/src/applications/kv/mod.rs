//! A replicated key-value store in PlumDB's manner.
//!
//! Every node has all of it. A write is taken by the node that is asked, broadcast along Plumtree's
//! trees, and found by comparison where a broadcast did not come: neighbours exchange the branches
//! of Merkle trees until they know which objects differ. Values that were written without knowing
//! of each other stay beside each other as siblings, told apart by dotted version vectors, until
//! somebody who has read them replaces them.
//!
//! **Promised**, whatever happens to nodes and connections:
//! 1. A value is what somebody wrote to that key; it is gone only when a write replaced it that
//!    knew it, and then it does not come back.
//! 2. What a replica has once told, it goes on knowing for as long as its node lives.
//! 3. A write that was answered is known to every node that can be reached, in the end, as long as
//!    one of the [holders](KvReply::Stored) that the answer names goes on living until it has told a
//!    neighbour. With `copies` more than one, no single loss can undo it.
//! 4. Once nothing is written and all can reach each other, all replicas are equal.
//!
//! A node that comes back begins with nothing, and gets all from the others.
//!
//! **Not promised:** that a read sees the newest write elsewhere; that several keys change together.
//! Deleted keys leave their context behind, for ever; so does each start of a node that wrote.

pub mod object;
pub mod replica;
mod server;
pub mod tree;
mod trial;

pub use object::{Context, Dot, Object};
pub use replica::{Key, Limits, Refusal, Replica, Step};
pub use server::{Kv, KvCall, KvCast, KvReply, Subject, Update};
pub use trial::Trial;

use partisan_proto::{Config, HandlerName, ProcessName};

/// The name of the server on each node, and of the handler of its broadcasts.
pub const NAME: &str = "kv";

/// The name of the server.
#[must_use]
pub fn server_name() -> ProcessName {
    super::process_name(NAME)
}

/// The name of the handler of its broadcasts.
#[must_use]
pub fn handler_name() -> HandlerName {
    super::handler_name(NAME)
}

/// Has nodes of this configuration know the handler.
pub fn configure(config: &mut Config) {
    super::keep(config, handler_name());
}
