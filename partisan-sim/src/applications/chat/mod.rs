//! A chat room without a centre.
//!
//! Every node has a copy of the room. A line is broadcast along Plumtree's trees, found by comparison
//! where that did not come, and shown after all lines that its author had seen, so that no answer is
//! ever shown before its question.
//!
//! **Promised**, whatever happens to nodes and connections:
//! 1. A copy shows each line once, as it was said, and after all that the copy where it was said had
//!    shown before. What it has shown it goes on showing, in the same order.
//! 2. A line that was answered is shown on every node that can be reached, in the end, as long as one
//!    that shows it goes on living until it has told a neighbour; whoever comes later is shown
//!    all that was said before.
//!
//! **Not promised:** one order of lines that nobody could have answered. A line that follows another
//! one which was lost with all who had it is shown to nobody.

mod room;
mod trial;

pub use room::{ChatCall, ChatReply, Line, MAX_LINES, MAX_MEMBERS, MAX_TEXT, MAX_WAITING, Room};
pub use trial::Trial;

use partisan_proto::{Config, HandlerName, ProcessName};

/// The name of the server on each node, and of the handler of its broadcasts.
pub const NAME: &str = "chat";

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
