//! What travels between nodes, and the limits that the decoder enforces.
//!
//! ```text
//! frame   = length:u32  kind:u8  body[length - 1]      big-endian; length counts kind and body
//! kind 0  = Hello     fixed layout for ever, so that any two versions understand it
//! kind 1  = App       hand-written header, then the payload as it is
//! kind 2  = Control   postcard(ControlMessage); variants are only ever appended
//! kind 3  = Refuse    code:u16 detail:u64, fixed for ever: why a handshake is refused
//! kind 4  = Broadcast hand-written header, then the payload as it is
//! kind 5  = Relayed   hand-written header, then the payload as it is
//! kind 6  = Signal    postcard(ProcessMessage) that keeps its place among the messages of a lane
//! kind 7  = Request   length:u16 postcard(RequestHeader), then the payload as it is
//! kind 8  = Reply     length:u16 postcard(ReplyHeader), then the payload as it is
//! kind 9  = Reliable  length:u16 postcard(ReliableHeader), then as an App
//! kind 10 = Newest    length:u16 postcard(NewestHeader), then as an App
//! kind 11 = Compressed length:u32, then an LZ4 block of so many bytes: kind and body of a frame
//!             with a payload
//! others  : skipped when the top bit is set, else an error
//! ```
//!
//! Pure functions over byte slices; a driver feeds them what it reads. Nothing here allocates more
//! than the bytes that arrived justify: lengths are checked before anything is stored, and every
//! collection has its bound inside its type ([`Bounded`]).

mod app;
mod bounded;
mod broadcast;
mod call;
mod compress;
mod control;
mod delivery;
mod frame;
mod hash;
mod hello;
mod hyparview;
mod partition;
mod plumtree;
mod process;
mod refuse;
mod relay;
mod scamp;
mod star;
#[cfg(test)]
pub(crate) mod strategies;
#[cfg(test)]
mod tests;
mod whole;

pub use app::{AppHeader, Destination, DestinationName, MAX_APP_HEADER, encode_app_header};
pub use bounded::Bounded;
pub use broadcast::{BroadcastMessage, MAX_BROADCAST_HEADER, MAX_KEY};
pub use call::{MAX_REQUEST_HEADER, ReplyHeader, RequestHeader, ServerAt};
pub use compress::{COMPRESS_FROM, FEATURE_LZ4};
pub use control::{
    Accept, Confirm, ControlMessage, Delta, Digest, Entry, GoodbyeReason, Gossip,
    MAX_CONTROL_FRAME, MAX_DELTA, MAX_SUMMARY, Presence, Proof, Request, Summary, SummaryEntry,
};
pub use delivery::{
    Acknowledgement, CausalHeader, Dependency, Elsewhere, InOrder, MAX_DEPENDENCIES, MAX_RANGES,
    NewestHeader, ReliableHeader, Terms,
};
pub use frame::{
    Decoded, FRAME_PREFIX, Frame, Frames, MAX_HELLO_FRAME, MIN_FRAME_LIMIT, compress_frame, decode,
    encode, encode_app, encode_broadcast, encode_newest, encode_relayed, encode_reliable,
    encode_reply, encode_request, missing, peek_kind,
};
pub use hash::StableHasher;
pub use hello::{Hello, Nonce, PROTOCOL_VERSION, Role, VersionRange};
pub use hyparview::{
    Costs, Declined, HyParViewMessage, Introductions, MAX_INTRODUCTIONS, MAX_PATH, NeighborAccept,
    NeighborDecline, NeighborEnd, NeighborRequest, Optimize, Parting, Replace, Round, Shuffle,
    ShuffleReply, Switch, Verdict, Walk, Wish,
};
pub use partition::{MAX_PARTITIONS, PartitionId, PartitionMessage};
pub use plumtree::{
    Announcement, Graft, Heartbeat, Holdings, MAX_ANNOUNCED, MAX_HEARTBEATS, MAX_HOLDINGS,
    MAX_NOT_FOUND, PlumtreeMessage, Range, Subject, TreeId, Wanted,
};
pub use process::{ProcessAt, ProcessMessage, TargetAt};
pub use refuse::Refuse;
pub use relay::{
    Cargo, MAX_RELAY_HEADER, MAX_RELAY_TTL, RelayFailure, RelayHeader, RelayId, RelayMessage,
    RelayNotice,
};
pub use scamp::{Introduction, ScampMessage};
pub use star::{StarMessage, StarPiece};
pub use whole::read_whole;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why bytes are no frame. The connection they came from cannot be trusted any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum DecodeError {
    /// The length is beyond the limit; told before anything is stored.
    #[error("a frame of {length} bytes; the limit is {limit}")]
    Oversize {
        /// The announced length.
        length: u32,
        /// The limit in force.
        limit: u32,
    },
    /// A length of zero.
    #[error("an empty frame")]
    Empty,
    /// The frame ends within a field.
    #[error("a truncated frame")]
    Truncated,
    /// A kind that must not be skipped.
    #[error("a frame of unknown kind {0}")]
    UnknownKind(u8),
    /// A hello without the magic bytes: not a Partisan peer.
    #[error("no Partisan hello")]
    NotPartisan,
    /// A hello with impossible content.
    #[error("a malformed hello")]
    BadHello,
    /// An application header with impossible content.
    #[error("a malformed application header")]
    BadHeader,
    /// A compressed frame that is no block of the length it tells, or holds what must not be
    /// compressed.
    #[error("a malformed compressed frame")]
    BadCompression,
    /// A control message that does not decode, or has bytes left over.
    #[error("a malformed control message")]
    BadControl,
}
