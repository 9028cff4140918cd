//! Who is who: names, identifiers, incarnations, connections, tickets.

use alloc::sync::Arc;
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::NameError;

/// The longest node, cluster, tag or channel name, in bytes of UTF-8.
pub const NAME_LIMIT: usize = 255;

/// The name of a node, by convention `name@host`. Unique in its cluster.
///
/// One to [`NAME_LIMIT`] bytes of UTF-8 without white space or control characters; the wildcards
/// `_` and `*` are reserved. Cheap to clone.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "alloc::string::String", into = "alloc::string::String")]
pub struct NodeName {
    text: Arc<str>,
    /// Follows from the text; a handshake asks for it a dozen times.
    id: NodeId,
}

fn check_name(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        Err(NameError::Empty)
    } else if text.len() > NAME_LIMIT {
        Err(NameError::TooLong { bytes: text.len(), limit: NAME_LIMIT })
    } else if text == "_" || text == "*" {
        Err(NameError::Reserved)
    } else if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        Err(NameError::BadCharacter)
    } else {
        Ok(())
    }
}

macro_rules! name_type {
    ($type:ident) => {
        impl $type {
            /// Checks `text` and makes a name of it.
            ///
            /// # Errors
            /// [`NameError`] when the text breaks the rules above.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check_name(text)?;
                Ok(Self::of(text.into()))
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<alloc::string::String> for $type {
            type Error = NameError;

            fn try_from(text: alloc::string::String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$type> for alloc::string::String {
            fn from(name: $type) -> Self {
                name.as_str().into()
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        #[cfg(feature = "arbitrary")]
        impl<'a> arbitrary::Arbitrary<'a> for $type {
            fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
                // A small pool, so that what a fuzzer invents collides meaningfully.
                let pool = ["a", "b", "c", "d", "default", "membership", "bulk", "ünï"];
                Ok(Self::of((*u.choose(&pool)?).into()))
            }
        }
    };
}

name_type!(NodeName);

/// A name that is its text and nothing else.
macro_rules! plain_name {
    ($(#[$docs:meta])* $type:ident) => {
        $(#[$docs])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "alloc::string::String", into = "alloc::string::String")]
        pub struct $type(Arc<str>);

        impl $type {
            const fn of(text: Arc<str>) -> Self {
                Self(text)
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        name_type!($type);
    };
}

plain_name! {
    /// The name of a channel: a class of traffic with connections of its own.
    ///
    /// The same rules as for a [`NodeName`].
    ChannelName
}

plain_name! {
    /// The name of a handler of broadcasts: what one part of an application tells all nodes.
    ///
    /// The same rules as for a [`NodeName`].
    HandlerName
}

plain_name! {
    /// The name that a process is registered under at its node.
    ///
    /// The same rules as for a [`NodeName`].
    ProcessName
}

impl ProcessName {
    /// What names begin with that the node keeps for what it offers itself: nothing of an
    /// application's, be it a process, a mailbox or a function, is registered under such a name.
    pub const RESERVED: &str = "partisan.";

    /// Whether it is one of those that the node keeps for itself.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.as_str().starts_with(Self::RESERVED)
    }
}

plain_name! {
    /// The name of a label: messages with one label are delivered in causal order among each other.
    ///
    /// The same rules as for a [`NodeName`].
    LabelName
}

plain_name! {
    /// The name of a cluster: nodes of different clusters refuse each other at the handshake.
    ///
    /// The same rules as for a [`NodeName`].
    ClusterName
}

plain_name! {
    /// A label of a node (a role such as `server`), told to peers with its spec.
    ///
    /// The same rules as for a [`NodeName`].
    Tag
}

// Of a name the text counts alone: its identifier follows from it.

impl PartialEq for NodeName {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.text == other.text
    }
}

impl Eq for NodeName {}

impl PartialOrd for NodeName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for NodeName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for NodeName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl NodeName {
    fn of(text: Arc<str>) -> Self {
        let id = NodeId(first_bits(&text));
        Self { text, id }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The identifier of the node with this name.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// What stands behind the `@`, where a name has one: the host, by convention.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.text.rsplit_once('@').map(|(_, host)| host).filter(|host| !host.is_empty())
    }
}

/// The first 64 bits of the SHA-256 of a name.
fn first_bits(text: &str) -> u64 {
    let digest = Sha256::digest(text.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

/// A node, whatever its incarnation: the first 64 bits of the SHA-256 of its name.
///
/// Small and `Copy`; the same on every node and in every run. Two names with one identifier are
/// refused when they meet (`Refusal::IdentifierCollision`); among 100,000 nodes the chance that
/// any two collide is below one in a billion.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(u64);

impl NodeId {
    /// The identifier with this number; [`NodeName::id`] is the usual way to get one.
    #[must_use]
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The number, as it stands on the wire.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:08x}", self.0 >> 32)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for NodeId {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        NodeName::arbitrary(u).map(|name| name.id())
    }
}

macro_rules! hashed_name {
    ($(#[$docs:meta])* $id:ident of $name:ident, $debug:literal) => {
        $(#[$docs])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $id(u64);

        impl $id {
            /// The identifier of what has this name.
            #[must_use]
            pub fn of(name: &$name) -> Self {
                Self(first_bits(name.as_str()))
            }

            /// The identifier with this number; `of` is the usual way to get one.
            #[must_use]
            pub const fn from_u64(number: u64) -> Self {
                Self(number)
            }

            /// The number, as it stands on the wire.
            #[must_use]
            pub const fn as_u64(self) -> u64 {
                self.0
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($debug, "-{:08x}"), self.0 >> 32)
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        #[cfg(feature = "arbitrary")]
        impl<'a> arbitrary::Arbitrary<'a> for $id {
            fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
                $name::arbitrary(u).map(|name| Self::of(&name))
            }
        }
    };
}

hashed_name! {
    /// A handler of broadcasts, on the wire: the first 64 bits of the SHA-256 of its name, so that
    /// every node computes the same one without asking.
    HandlerId of HandlerName, "handler"
}

hashed_name! {
    /// A label of causal delivery, on the wire: made as a [`HandlerId`] is.
    LabelId of LabelName, "label"
}

/// The restart counter of a node (Erlang's *creation*): greater at each start, and after each
/// leave or removal, so that what belonged to an older life is never mistaken for the present one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "u64")]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// Older than every real one.
    pub const NONE: Self = Self(0);

    /// The greatest; decoders refuse a greater one. No node gets there by itself: one in its last
    /// incarnation was told lies by a peer that is trusted.
    pub const MOST: Self = Self(1 << 62);

    /// The one after this; [`Incarnation::MOST`] is followed by itself, since nobody, nor the
    /// node's own snapshot, could read a greater one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1)).min(Self::MOST)
    }
}

impl TryFrom<u64> for Incarnation {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        if number > Self::MOST.0 {
            return Err("an incarnation beyond any that counts restarts or milliseconds");
        }
        Ok(Self(number))
    }
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for Incarnation {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        let small = u.int_in_range(0..=7)?;
        // Now and then from the other end.
        Ok(if u.ratio(1, 8)? { Self(Self::MOST.0 - small) } else { Self(small) })
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One life of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Instance {
    /// Which node.
    pub node: NodeId,
    /// Which life of it.
    pub incarnation: Incarnation,
}

/// A broadcast message: which life of which node sent it, and as its how manieth, counted from 1.
///
/// Two messages with equal payloads are two messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct MessageId {
    /// Who sent it, in which life.
    pub origin: Instance,
    /// Its number among that life's broadcasts.
    pub sequence: u64,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Instance { node, incarnation } = self.origin;
        write!(f, "{node}.{incarnation}.{}", self.sequence)
    }
}

/// The number of a session between two nodes: greater for each session that follows another.
///
/// State that hangs on a session is resynchronised or failed when the epoch moves.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "u64")]
pub struct Epoch(pub u64);

impl Epoch {
    /// The greatest. Decoders refuse a greater one, and no session follows the one that has it:
    /// whoever claims it shuts itself out, instead of having two sessions of one epoch.
    pub const MOST: Self = Self(1 << 62);

    /// The one after this; none after [`Epoch::MOST`].
    #[must_use]
    pub fn next(self) -> Option<Self> {
        (self < Self::MOST).then_some(Self(self.0.wrapping_add(1)))
    }
}

impl TryFrom<u64> for Epoch {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        if number > Self::MOST.0 {
            return Err("an epoch beyond any that counts sessions");
        }
        Ok(Self(number))
    }
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for Epoch {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        let small = u.int_in_range(0..=7)?;
        // Now and then from the other end.
        Ok(if u.ratio(1, 4)? { Self(Self::MOST.0 - small) } else { Self(small) })
    }
}

/// A channel of this node's own configuration: its place in [`Channels`](crate::config::Channels).
///
/// Meaningful on this node only; on the wire a channel goes by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct ChannelId(pub u8);

impl ChannelId {
    /// The channel of the membership protocol; always there, always one lane.
    pub const MEMBERSHIP: Self = Self(0);
    /// The channel of messages that name no other; always there.
    pub const DEFAULT: Self = Self(1);
}

/// A TCP connection (or whatever carries frames), between its opening and its end.
///
/// The core numbers those it asks the driver to open, the driver those it accepts; the two kinds
/// never collide.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// The `number`th connection that the core asked for.
    #[must_use]
    pub const fn dialled(number: u64) -> Self {
        Self(number << 1)
    }

    /// The `number`th connection that the driver accepted.
    #[must_use]
    pub const fn accepted(number: u64) -> Self {
        Self((number << 1) | 1)
    }

    /// The connection with this number, the inverse of [`ConnectionId::as_u64`].
    #[must_use]
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// Whether this node opened it.
    #[must_use]
    pub const fn is_dialled(self) -> bool {
        self.0 & 1 == 0
    }

    /// The number behind both kinds.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_dialled() { "dialled" } else { "accepted" };
        write!(f, "{kind}-{}", self.0 >> 1)
    }
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for ConnectionId {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self(u.int_in_range(0..=15)?))
    }
}

/// Names a command, so that its answer finds the asker. Chosen by whoever drives the node; each is
/// answered exactly once and may be used again after that.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Ticket(pub u64);

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn names_are_checked() {
        assert_eq!(NodeName::new("").unwrap_err(), NameError::Empty);
        assert_eq!(NodeName::new("_").unwrap_err(), NameError::Reserved);
        assert_eq!(NodeName::new("*").unwrap_err(), NameError::Reserved);
        assert_eq!(NodeName::new("a b").unwrap_err(), NameError::BadCharacter);
        assert_eq!(NodeName::new("a\n").unwrap_err(), NameError::BadCharacter);
        let long: String = "x".repeat(NAME_LIMIT + 1);
        assert!(matches!(NodeName::new(&long), Err(NameError::TooLong { bytes: 256, .. })));
        assert!(NodeName::new(&long[1..]).is_ok());
        assert!(ChannelName::new("größe").is_ok());
    }

    #[test]
    fn an_identifier_follows_from_the_name_for_ever() {
        // SHA-256("alice@host") begins thus; the wire depends on it.
        assert_eq!(
            NodeName::new("alice@host").unwrap().id(),
            NodeName::new("alice@host").unwrap().id()
        );
        assert_ne!(
            NodeName::new("alice@host").unwrap().id(),
            NodeName::new("bob@host").unwrap().id()
        );
    }

    #[test]
    fn the_host_is_what_stands_behind_the_at_sign() {
        assert_eq!(NodeName::new("a@10.0.0.1").unwrap().host(), Some("10.0.0.1"));
        assert_eq!(NodeName::new("a").unwrap().host(), None);
        assert_eq!(NodeName::new("a@").unwrap().host(), None);
    }

    #[test]
    fn dialled_and_accepted_connections_never_collide() {
        assert_ne!(ConnectionId::dialled(3), ConnectionId::accepted(3));
        assert!(ConnectionId::dialled(3).is_dialled() && !ConnectionId::accepted(3).is_dialled());
    }
}
