//! Messages on their way to a node that is not connected: the header of the frame that carries
//! one, and what is said about it afterwards.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::{Buf, BufMut, Bytes};
use serde::{Deserialize, Serialize};

use super::{AppHeader, DecodeError, Destination, MAX_APP_HEADER, Terms, encode_app_header};
use crate::id::{Incarnation, NodeId};

/// The most hops that a relayed message may make before the last one, to its target; decoders
/// refuse more.
pub const MAX_RELAY_TTL: u8 = 32;
/// The longest header of a relayed message, so that a sender can tell the longest payload.
pub const MAX_RELAY_HEADER: usize = FIXED + 8 + 16 + Terms::LONGEST + MAX_APP_HEADER;

/// What every header has: four numbers, then ttl, hops and flags.
const FIXED: usize = 4 * 8 + 3;
const KEYED: u8 = 1;
const FLOODED: u8 = 2;
const RELIABLE: u8 = 4;
const ACKNOWLEDGEMENT: u8 = 8;
const TERMS: u8 = 16;

/// Which relayed message: unique in the life of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct RelayId {
    /// Who sent it.
    pub origin: NodeId,
    /// In which life.
    pub incarnation: Incarnation,
    /// Which of its relayed messages, counted from 1.
    pub sequence: u64,
}

/// What stands before the payload of a relayed message.
///
/// ```text
/// origin:u64 incarnation:u64 sequence:u64 target:u64
/// ttl:u8 hops:u8                    hops at least 1; together up to 33
/// flags:u8                          1 = a key follows, 2 = flooded, 4 = must arrive,
///                                   8 = an acknowledgement, 16 = on terms; other bits must be zero
/// key:u64                           with flag 1
/// sequence:u64 floor:u64            with flag 4, as in a ReliableHeader
/// terms                             with flags 4 and 16, as there
/// life:u64                          with flag 8, and then the payload is postcard(Acknowledgement)
/// application header                as in an application message, then the payload
/// ```
///
/// The channel is not told: it is the one of the lane that the frame travels on, hop by hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayHeader {
    /// Which message.
    pub id: RelayId,
    /// Whom it is for.
    pub target: NodeId,
    /// How many hops its receiver may still send it on before the one to its target.
    pub ttl: u8,
    /// How many hops it has behind it, the one to its receiver included.
    pub hops: u8,
    /// Whether copies of it go several ways.
    pub flooded: bool,
    /// The key of the message, which picks the lane on every hop.
    pub key: Option<u64>,
    /// What it carries.
    pub cargo: Cargo,
    /// Whom it is for, at the target; nobody, where it is an acknowledgement.
    pub destination: Destination,
}

/// What a relayed message carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cargo {
    /// A message, best effort.
    #[default]
    Message,
    /// A message that must arrive; the numbers are those of a
    /// [`ReliableHeader`](super::ReliableHeader).
    Reliable {
        /// Its number among the messages that this life of the origin sent to the target, from 1.
        sequence: u64,
        /// The lowest number that the origin still wants to be acknowledged, at most `sequence`.
        floor: u64,
        /// What it asks of the target besides.
        terms: Terms,
    },
    /// An [`Acknowledgement`](super::Acknowledgement) of messages that this life of the target
    /// sent.
    Acknowledgement {
        /// Which life of the target.
        life: Incarnation,
    },
}

impl Cargo {
    /// Whether it is an acknowledgement.
    #[must_use]
    pub const fn acknowledges(self) -> bool {
        matches!(self, Self::Acknowledgement { .. })
    }

    /// Whether it is a message that must arrive.
    #[must_use]
    pub const fn must_arrive(self) -> bool {
        matches!(self, Self::Reliable { .. })
    }

    const fn encoded_len(self) -> usize {
        match self {
            Self::Message => 0,
            Self::Reliable { terms, .. } => 16 + terms.encoded_len(),
            Self::Acknowledgement { .. } => 8,
        }
    }

    fn flags(self) -> u8 {
        match self {
            Self::Message => 0,
            Self::Reliable { terms, .. } if terms.are_none() => RELIABLE,
            Self::Reliable { .. } => RELIABLE | TERMS,
            Self::Acknowledgement { .. } => ACKNOWLEDGEMENT,
        }
    }

    fn encode(self, out: &mut Vec<u8>) {
        match self {
            Self::Message => {}
            Self::Reliable { sequence, floor, terms } => {
                out.put_u64(sequence);
                out.put_u64(floor);
                terms.encode(out);
            }
            Self::Acknowledgement { life } => out.put_u64(life.0),
        }
    }

    fn decode(flags: u8, rest: &mut Bytes) -> Result<Self, DecodeError> {
        let mut number = || rest.try_get_u64().map_err(|_| DecodeError::Truncated);
        match flags & (RELIABLE | ACKNOWLEDGEMENT | TERMS) {
            0 => Ok(Self::Message),
            reliable if reliable & !TERMS == RELIABLE => {
                let (sequence, floor) = (number()?, number()?);
                if floor == 0 || floor > sequence {
                    return Err(DecodeError::BadHeader);
                }
                let on_terms = reliable & TERMS != 0;
                let terms = on_terms.then(|| Terms::decode(rest, sequence)).transpose()?;
                Ok(Self::Reliable { sequence, floor, terms: terms.unwrap_or_default() })
            }
            ACKNOWLEDGEMENT => {
                let life = Incarnation::try_from(number()?);
                Ok(Self::Acknowledgement { life: life.map_err(|_| DecodeError::BadHeader)? })
            }
            _ => Err(DecodeError::BadHeader),
        }
    }
}

impl RelayHeader {
    /// How many bytes it takes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let key = if self.key.is_some() { 8 } else { 0 };
        FIXED + key + self.cargo.encoded_len() + self.destination.header_len()
    }

    fn app(&self) -> AppHeader {
        AppHeader { destination: self.destination.clone() }
    }

    /// Appends the header to `out`; the payload follows it as it is.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64(self.id.origin.as_u64());
        out.put_u64(self.id.incarnation.0);
        out.put_u64(self.id.sequence);
        out.put_u64(self.target.as_u64());
        out.put_u8(self.ttl);
        out.put_u8(self.hops);
        let keyed = if self.key.is_some() { KEYED } else { 0 };
        out.put_u8(keyed | if self.flooded { FLOODED } else { 0 } | self.cargo.flags());
        if let Some(key) = self.key {
            out.put_u64(key);
        }
        self.cargo.encode(out);
        encode_app_header(&self.app(), out);
    }

    /// Reads a header from the front of `body`; the rest is the payload.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] or [`DecodeError::BadHeader`].
    pub fn decode(body: &Bytes) -> Result<(Self, Bytes), DecodeError> {
        let mut rest = body.clone();
        if rest.len() < FIXED {
            return Err(DecodeError::Truncated);
        }
        let origin = NodeId::from_u64(rest.get_u64());
        let incarnation = Incarnation(rest.get_u64());
        let sequence = rest.get_u64();
        let target = NodeId::from_u64(rest.get_u64());
        let (ttl, hops, flags) = (rest.get_u8(), rest.get_u8(), rest.get_u8());
        let impossible = incarnation == Incarnation::NONE
            || incarnation > Incarnation::MOST
            || sequence == 0
            || hops == 0
            || u16::from(ttl) + u16::from(hops) > u16::from(MAX_RELAY_TTL) + 1
            || flags & !(KEYED | FLOODED | RELIABLE | ACKNOWLEDGEMENT | TERMS) != 0;
        if impossible {
            return Err(DecodeError::BadHeader);
        }
        let key = match flags & KEYED {
            0 => None,
            _ if rest.len() < 8 => return Err(DecodeError::Truncated),
            _ => Some(rest.get_u64()),
        };
        let cargo = Cargo::decode(flags, &mut rest)?;
        let (AppHeader { destination }, payload) = AppHeader::decode(&rest)?;
        let id = RelayId { origin, incarnation, sequence };
        let flooded = flags & FLOODED != 0;
        Ok((Self { id, target, ttl, hops, flooded, key, cargo, destination }, payload))
    }
}

/// What is said about relayed messages, on the membership channel and hop by hop towards their
/// origin: see `relay`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum RelayMessage {
    /// The message went one way, and that ended.
    Failed {
        /// Which message, and who did not get it.
        notice: Box<RelayNotice>,
        /// Why.
        reason: RelayFailure,
    },
    /// A flooded message arrived: its target is reached through whoever tells this.
    Found(Box<RelayNotice>),
    /// The message went one way, and that is wrong: copies of it had to be made, and it may still
    /// arrive, or it is one that its origin sends again.
    Astray(Box<RelayNotice>),
    /// A message that must arrive is longer than a node on its one way takes, or than its target
    /// does: it is of no use to send it again.
    TooLarge {
        /// Which message, and who did not get it.
        notice: Box<RelayNotice>,
        /// Its number among the messages that the origin sent to the target
        /// ([`Cargo::Reliable`]).
        sequence: u64,
    },
}

impl RelayMessage {
    /// Which message is spoken of.
    #[must_use]
    pub const fn notice(&self) -> &RelayNotice {
        match self {
            Self::Failed { notice, .. }
            | Self::Found(notice)
            | Self::Astray(notice)
            | Self::TooLarge { notice, .. } => notice,
        }
    }
}

/// Which relayed message is spoken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct RelayNotice {
    /// Which message.
    pub id: RelayId,
    /// Whom it was for.
    pub target: NodeId,
    /// How many hops this may still travel.
    pub hops: u8,
}

/// Why a relayed message did not arrive, as far as it can be known.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    thiserror::Error,
)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum RelayFailure {
    /// Nobody was left to pass it on to.
    #[error("a node on the way had nobody to pass it on to")]
    NoWay,
    /// It had made all the hops it may make.
    #[error("it had made all its hops; raise relay.ttl or bring the nodes closer")]
    Expired,
    /// It came to a node for the second time.
    #[error("its way went in a circle; the next message looks for another")]
    Circle,
    /// A queue on its way was full.
    #[error("a queue on the way was full; send more slowly")]
    Congested,
    /// A connection on its way takes no frame of this length.
    #[error("it is longer than a node on the way takes")]
    TooLarge,
    /// A partition was injected on its way.
    #[error("an injected partition was in its way")]
    Partitioned,
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for RelayHeader {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        let incarnation = Incarnation(u.int_in_range(1..=3)?);
        let ttl = u.int_in_range(0..=MAX_RELAY_TTL)?;
        let sequence = if u.ratio(1, 8)? { u64::MAX } else { u.int_in_range(1..=5)? };
        Ok(Self {
            id: RelayId { origin: u.arbitrary()?, incarnation, sequence },
            target: u.arbitrary()?,
            ttl,
            hops: u.int_in_range(1..=MAX_RELAY_TTL + 1 - ttl)?,
            flooded: u.arbitrary()?,
            key: u.arbitrary()?,
            cargo: u.arbitrary()?,
            destination: u.arbitrary()?,
        })
    }
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for Cargo {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(match u.int_in_range(0..=3)? {
            0 | 1 => Self::Message,
            2 => {
                let sequence = if u.ratio(1, 8)? { u64::MAX } else { u.int_in_range(1..=5)? };
                let floor = u.int_in_range(1..=sequence.min(5))?;
                let terms: Terms = u.arbitrary()?;
                Self::Reliable { sequence, floor, terms: terms.of(sequence) }
            }
            _ => Self::Acknowledgement { life: Incarnation(u.int_in_range(1..=3)?) },
        })
    }
}
