//! What can go wrong, by whose fault.
//!
//! | whose fault | type | what happens |
//! |---|---|---|
//! | the caller's, before the start | [`ConfigError`], [`NameError`], [`AddressError`], [`SpecError`] | nothing starts |
//! | the caller's, later | [`CommandError`] | the command's ticket is answered with it |
//! | malformed bytes | [`DecodeError`] | the driver closes that connection |
//! | a peer's | [`Misbehaviour`], [`Refusal`] | that connection is closed, counted and told |
//! | the network's | [`OpenError`], [`CloseReason`] | dialled again, as configured |
//!
//! A panic of the core is our bug, whatever a peer or a caller does.

mod command;

pub use command::{CommandError, JoinError};

use alloc::string::String;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::{ChannelName, HandlerName, Incarnation, LabelName, NodeName, Tag};
use crate::spec::Address;
use crate::wire::DecodeError;

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing there.
    #[error("the name is empty; give it at least one character")]
    Empty,
    /// Too long.
    #[error("the name has {bytes} bytes; the limit is {limit}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// A wildcard.
    #[error("`_` and `*` are wildcards; choose another name")]
    Reserved,
    /// White space or a control character.
    #[error("the name holds white space or a control character; remove it")]
    BadCharacter,
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// No `:port`.
    #[error("the port is missing; write host:port")]
    NoPort,
    /// Not a number up to 65535.
    #[error("the port is not a number from 0 to 65535")]
    BadPort,
    /// IPv6 without brackets.
    #[error("an IPv6 address needs brackets; write [::1]:9000")]
    UnbracketedV6,
    /// Neither an IP address nor a host name.
    #[error("the host is neither an IP address nor a host name")]
    BadHost,
}

/// Why a node cannot be described like this.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SpecError {
    /// More than others store.
    #[error("more than {limit} addresses; advertise fewer")]
    TooManyAddresses {
        /// The most allowed.
        limit: usize,
    },
    /// More than others store.
    #[error("more than {limit} tags; give fewer")]
    TooManyTags {
        /// The most allowed.
        limit: usize,
    },
    /// `0.0.0.0`, `::` or port 0 told to others.
    #[error("nobody can dial {address}; advertise a host and a port that others reach")]
    NotDialable {
        /// The address.
        address: Address,
    },
    /// Only from a peer: a channel twice, without lanes or too many.
    #[error("the list of channels names one twice, or gives one no lane or too many")]
    BadChannels,
}

/// Why a configuration is refused; each names the key and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A span that must not be zero.
    #[error("{key} is zero; give it a positive span of time")]
    Zero {
        /// The key.
        key: &'static str,
    },
    /// Out of range.
    #[error("{key} is {given}; choose from {least} to {most}")]
    Range {
        /// The key.
        key: &'static str,
        /// The value.
        given: u64,
        /// The least allowed.
        least: u64,
        /// The most allowed.
        most: u64,
    },
    /// Two keys in the wrong order.
    #[error("{smaller} is greater than {greater}; raise the second or lower the first")]
    Order {
        /// The key that must be the smaller.
        smaller: &'static str,
        /// The key that must be the greater.
        greater: &'static str,
    },
    /// A channel without lanes, or with too many.
    #[error("channel `{channel}` has parallelism {given}; choose from 1 to {most}")]
    Parallelism {
        /// The channel.
        channel: ChannelName,
        /// Its parallelism.
        given: u8,
        /// The most allowed.
        most: usize,
    },
    /// The membership channel is one ordered stream.
    #[error(
        "channel `membership` has parallelism {given}; it is one ordered stream and has exactly 1"
    )]
    MembershipLanes {
        /// Its parallelism.
        given: u8,
    },
    /// The membership channel carries no messages of applications.
    #[error("channel `membership` has no option `{option}`; take it out, or give it to another")]
    MembershipOption {
        /// What it was given.
        option: &'static str,
    },
    /// The same name twice.
    #[error("channel `{channel}` is configured twice; remove one")]
    ChannelTwice {
        /// The channel.
        channel: ChannelName,
    },
    /// Too many.
    #[error("more than {most} channels, with `membership` and `default`; remove some")]
    TooManyChannels {
        /// The most allowed.
        most: usize,
    },
    /// Guessable.
    #[error("secret has fewer than {least} bytes; use a longer, random one")]
    SecretTooShort {
        /// The fewest allowed.
        least: usize,
    },
    /// The channels told by the spec are not the configured ones.
    #[error("the node's spec tells other channels than the configuration has; build it from them")]
    ForeignChannels,
    /// Neither a client nor a server, or both.
    #[error("the node's tags give it no role; give it exactly one of `{server}` and `{client}`")]
    NoRole {
        /// The tag of servers.
        server: Tag,
        /// The tag of clients.
        client: Tag,
    },
    /// One tag for both roles.
    #[error("servers and clients have the same tag `{tag}`; choose two")]
    SameTag {
        /// The tag.
        tag: Tag,
    },
    /// The same label of causal delivery twice.
    #[error("label `{label}` is in `delivery.labels` twice; remove one")]
    LabelTwice {
        /// The label.
        label: LabelName,
    },
    /// A configured peer twice.
    #[error("peer `{name}` is listed twice; remove one")]
    PeerTwice {
        /// Its name.
        name: NodeName,
    },
    /// A configured peer that nobody could dial.
    #[error("peer `{name}` cannot be listed like this: {error}")]
    BadPeer {
        /// Its name.
        name: NodeName,
        /// What is wrong.
        error: SpecError,
    },
    /// A handler on a channel that is not there, or not for applications.
    #[error("handler `{handler}` sends on channel `{channel}`; use `default` or a configured one")]
    HandlerChannel {
        /// The handler.
        handler: HandlerName,
        /// The channel.
        channel: ChannelName,
    },
    /// Too many handlers.
    #[error("more than {most} handlers of broadcasts; remove some")]
    TooManyHandlers {
        /// The most allowed.
        most: usize,
    },
    /// Incarnation zero.
    #[error("the incarnation is 0, which stands for none; start at 1 or at the time in ms")]
    NoIncarnation,
    /// The stored membership belongs to something else.
    #[error("the stored membership cannot be used: {0}")]
    Snapshot(#[from] SnapshotError),
}

/// Why stored membership cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Not written by this program, or cut short.
    #[error("it is no membership snapshot or is cut short")]
    NotASnapshot,
    /// Written by another version.
    #[error("its format version is {found}; this program reads version {known}")]
    Version {
        /// The version found.
        found: u16,
        /// The version this program reads.
        known: u16,
    },
    /// Bytes changed since it was written.
    #[error("its checksum does not match: the bytes were changed or lost")]
    Checksum,
    /// The checksum matches and the content is no membership.
    #[error("its content cannot be decoded")]
    Content,
    /// Somebody else's.
    #[error("it belongs to node `{found}`")]
    OtherNode {
        /// Whose it is.
        found: String,
    },
}

/// Why a dial failed, as the driver tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum OpenError {
    /// Nothing listens there.
    #[error("connection refused: nothing listens at the address")]
    Refused,
    /// No answer in time.
    #[error("no answer within the dial timeout")]
    TimedOut,
    /// No route, or the network is down.
    #[error("the host cannot be reached")]
    Unreachable,
    /// The host name did not resolve.
    #[error("the host name does not resolve")]
    Unresolved,
    /// There was no address to try.
    #[error("no address of the node is known")]
    NoAddress,
    /// Something else: too many open files, a permission.
    #[error("the operating system refused to open a connection")]
    System,
}

/// Why a handshake was refused, by us or by the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum Refusal {
    /// No protocol version in common.
    #[error("no protocol version in common; upgrade the older node")]
    Version,
    /// Another cluster.
    #[error("the peer belongs to another cluster; set the same `cluster` on both")]
    Cluster,
    /// The secret is missing on one side, or not the same.
    #[error("the shared secret does not match; set the same `secret` on both")]
    Secret,
    /// Somebody else answers at that address.
    #[error("another node than the one dialled answers at that address")]
    UnexpectedPeer,
    /// A node dialled itself.
    #[error("the address leads back to the node itself")]
    SelfConnection,
    /// A newer life of the same name is known.
    #[error("a newer incarnation of that node name is known ({0})")]
    StaleIncarnation(Incarnation),
    /// The same name is alive elsewhere.
    #[error("a node with the same name and incarnation is connected from elsewhere; rename one")]
    DuplicateName,
    /// Two names, one identifier.
    #[error("two node names have the same identifier; rename one")]
    IdentifierCollision,
    /// The incarnation was removed from the cluster.
    #[error("this incarnation was removed from the cluster (up to {0}); join again")]
    Removed(Incarnation),
    /// Both dialled at once and the other connection is kept.
    #[error("both sides dialled at once; the other connection is kept")]
    SimultaneousDial,
    /// There is a session already.
    #[error("the nodes are connected already")]
    AlreadyConnected,
    /// A lane of a session that is over, or that was not negotiated.
    #[error("the lane belongs to no present session")]
    NoSession,
    /// The channel is not configured at the peer.
    #[error("the channel or lane was not negotiated")]
    UnknownChannel,
    /// Too many connections.
    #[error("the peer has too many connections; raise max_connections or max_pending there")]
    TooMany,
    /// The peer is leaving or stopping.
    #[error("the peer is stopping")]
    Stopping,
    /// The peer's manager does not want this node.
    #[error("the peer's membership rules exclude this node")]
    NotWanted,
    /// The dialled node is no member of the dialling node's cluster any more.
    #[error("the node left the cluster (stays up to incarnation {0} are over); it must join again")]
    NotMember(Incarnation),
    /// A code that this version does not know.
    #[error("refused for a reason unknown to this version (code {0})")]
    Other(u16),
}

/// What a peer did against the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum Misbehaviour {
    /// Anything but the next step of the handshake.
    #[error("sent something else than the next step of the handshake")]
    OutOfTurn,
    /// A handshake message after the handshake.
    #[error("repeated the handshake on an open connection")]
    HandshakeTwice,
    /// Control traffic on a lane for application messages.
    #[error("sent membership traffic on another channel than membership")]
    WrongChannel,
    /// An introduction that is not of the node that said hello.
    #[error("introduced another node than the one that said hello")]
    WrongSpec,
    /// A message of another manager than ours.
    #[error("uses another membership manager; configure the same on both")]
    OtherManager,
    /// The size of something contradicts its limit.
    #[error("sent more than the protocol allows")]
    TooMuch,
}

/// Why a connection, a session or a dial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer closed it, or its process ended.
    #[error("closed by the peer")]
    ClosedByPeer,
    /// The network broke it.
    #[error("broken by the network")]
    Broken,
    /// Undecodable bytes.
    #[error("undecodable bytes: {0}")]
    Malformed(#[from] DecodeError),
    /// The handshake took too long.
    #[error("the handshake was not finished in time")]
    HandshakeTimeout,
    /// Refused at the handshake.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// The peer broke the protocol.
    #[error("the peer {0}")]
    Misbehaved(#[from] Misbehaviour),
    /// Silent for too long.
    #[error("no answer to keep-alive pings")]
    PingTimeout,
    /// A newer connection or a newer life of the peer took its place.
    #[error("replaced by a newer connection")]
    Replaced,
    /// The session it belonged to is over.
    #[error("its session is over")]
    SessionOver,
    /// Surplus after both dialled.
    #[error("surplus: both sides dialled")]
    Surplus,
    /// The peer left the cluster.
    #[error("the peer left the cluster")]
    Left,
    /// Removed from the cluster.
    #[error("removed from the cluster")]
    Removed,
    /// The other node is stopping without leaving.
    #[error("the node is stopping")]
    Stopped,
    /// Asked for by the application.
    #[error("disconnected on request")]
    Requested,
    /// Nobody wants it any more.
    #[error("no longer wanted")]
    NotWanted,
    /// The queue of control messages overflowed: the peer does not read.
    #[error("the peer does not read its control messages")]
    Stalled,
    /// Too many connections here.
    #[error("too many connections")]
    TooMany,
}

impl CloseReason {
    /// The two nodes have different membership managers, whichever of them noticed.
    pub const OTHER_MANAGER: Self = Self::Misbehaved(Misbehaviour::OtherManager);

    /// Whether a session that ends for this reason ends on purpose, ours or the peer's; then what is
    /// queued is sent first.
    #[must_use]
    pub const fn is_on_purpose(self) -> bool {
        match self {
            Self::Left | Self::Removed | Self::Stopped | Self::Requested | Self::NotWanted => true,
            other => matches!(other, Self::OTHER_MANAGER),
        }
    }
}
