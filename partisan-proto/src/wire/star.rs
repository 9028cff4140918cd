//! The messages of the client-server manager.

use alloc::boxed::Box;

use serde::{Deserialize, Serialize};

use super::{Bounded, Entry, MAX_DELTA, MAX_SUMMARY};
use crate::id::NodeId;

/// What the client-server manager sends, besides the gossip between servers: see
/// `manager::client_server`.
///
/// ```text
/// client                                  server
/// | Attach: itself, whom it knows ------> |   in pieces, the last one marked
/// | <------------ Servers, all that differ|   in pieces, the last one marked
/// | <--------------------------- Servers  |   whenever one comes, moves or goes
/// | News: of its leaving, of a removal -> |
///
/// client                                  client
/// | <------------------------------ Refer |   then the session ends
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum StarMessage {
    /// A client introduces itself to a server, and tells what it knows of servers.
    Attach(Box<StarPiece>),
    /// A server tells a client of servers: all of them in answer to [`StarMessage::Attach`], later
    /// what changes.
    Servers(Box<StarPiece>),
    /// A client tells another, which it refuses, of the servers to join instead.
    Refer(Box<StarPiece>),
    /// A client tells a server what it knows first: that it leaves, that it removes somebody.
    News(Box<StarPiece>),
    /// A server tells another which clients came to it, or went from it.
    Clients {
        /// Which.
        nodes: Bounded<NodeId, MAX_SUMMARY>,
        /// Whether they are connected to the sender now.
        attached: bool,
    },
}

/// Some of what is told of members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct StarPiece {
    /// What is known of each.
    pub entries: Bounded<Entry, MAX_DELTA>,
    /// Whether nothing follows that belongs to it.
    pub last: bool,
}
