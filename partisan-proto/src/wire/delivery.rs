//! Messages that must arrive, and their acknowledgements.

use alloc::vec::Vec;

use bytes::{Buf, BufMut, Bytes};
use serde::{Deserialize, Serialize};

use super::call::{decode_header_and, encode_header_and, header_len};
use super::{Bounded, DecodeError, Destination, read_whole};
use crate::id::{Instance, LabelId};

/// The most dependencies that a causal message carries.
pub const MAX_DEPENDENCIES: usize = 1_024;
/// The most ranges in one [`Acknowledgement`].
pub const MAX_RANGES: usize = 256;

/// What stands before the payload of a message that must arrive.
///
/// ```text
/// length:u16 postcard(ReliableHeader)    as of a request; within that length, where there are some:
/// terms                                  as Terms says
/// application header                     as in an application message, then the payload
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReliableHeader {
    /// Its number among the messages that this life of the sender sent to the receiver, from 1.
    pub sequence: u64,
    /// The lowest number that the sender still wants to be acknowledged: it has given up those
    /// before that are missing.
    pub floor: u64,
    /// What it must come after.
    pub causal: Option<CausalHeader>,
    /// What else it asks of its receiver.
    #[serde(skip)]
    pub terms: Terms,
    /// Whom it is for; behind the others, as in an application message.
    #[serde(skip)]
    pub destination: Destination,
}

/// What a message that must arrive asks of its receiver besides arriving.
///
/// ```text
/// flags:u8           1 = order, 2 = after, 4 = id; other bits must be zero, and one must be set
/// order:u64          with flag 1
/// after:u64          with flag 2, which needs flag 1
/// id:u128            with flag 4
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Terms {
    /// The order that it keeps.
    pub order: Option<InOrder>,
    /// What the sender's application calls it: of messages of one name one is delivered.
    pub id: Option<u128>,
}

/// The place of a message in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct InOrder {
    /// Which order: a hash of channel and key. None of its messages comes after one of a greater
    /// number.
    pub order: u64,
    /// The number of the message that it must come after, below its own number, unless it may come
    /// at once.
    pub after: Option<u64>,
}

const ORDER: u8 = 1;
const AFTER: u8 = 2;
const ID: u8 = 4;

impl Terms {
    /// The most bytes that they take.
    pub const LONGEST: usize = 1 + 8 + 8 + 16;

    /// Whether there are none, which takes no bytes at all.
    #[must_use]
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }

    pub(super) const fn encoded_len(&self) -> usize {
        let order = match self.order {
            None => 0,
            Some(InOrder { after: None, .. }) => 8,
            Some(InOrder { after: Some(_), .. }) => 16,
        };
        match (order, self.id) {
            (0, None) => 0,
            (order, None) => 1 + order,
            (order, Some(_)) => 1 + order + 16,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        if self.are_none() {
            return;
        }
        let after = self.order.and_then(|order| order.after);
        let flag = |is_some: bool, flag: u8| if is_some { flag } else { 0 };
        let order = flag(self.order.is_some(), ORDER) | flag(after.is_some(), AFTER);
        out.put_u8(order | flag(self.id.is_some(), ID));
        self.order.into_iter().for_each(|order| out.put_u64(order.order));
        after.into_iter().for_each(|after| out.put_u64(after));
        self.id.into_iter().for_each(|id| out.put_u128(id));
    }

    /// Reads terms of message `sequence` from the front of `rest`.
    pub(super) fn decode(rest: &mut impl Buf, sequence: u64) -> Result<Self, DecodeError> {
        let short = |_| DecodeError::Truncated;
        let flags = rest.try_get_u8().map_err(short)?;
        let bad =
            flags == 0 || flags & !(ORDER | AFTER | ID) != 0 || flags & (ORDER | AFTER) == AFTER;
        if bad {
            return Err(DecodeError::BadHeader);
        }
        let mut number = |flag| (flags & flag != 0).then(|| rest.try_get_u64()).transpose();
        let (order, after) = (number(ORDER).map_err(short)?, number(AFTER).map_err(short)?);
        let id = (flags & ID != 0).then(|| rest.try_get_u128()).transpose().map_err(short)?;
        if after.is_some_and(|after| after == 0 || after >= sequence) {
            return Err(DecodeError::BadHeader);
        }
        Ok(Self { order: order.map(|order| InOrder { order, after }), id })
    }

    /// As they are where they are of message `sequence`.
    #[cfg(any(test, feature = "arbitrary"))]
    pub(super) fn of(self, sequence: u64) -> Self {
        let below = |after: &u64| *after > 0 && *after < sequence;
        let order = self
            .order
            .map(|InOrder { order, after }| InOrder { order, after: after.filter(below) });
        Self { order, ..self }
    }
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for Terms {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        // Whoever has a number to compare with leaves out what is not below it.
        let order = InOrder { order: u.int_in_range(0..=2)?, after: u.arbitrary()? };
        let order = if u.arbitrary()? { Some(order) } else { None };
        let id = if u.arbitrary()? { Some(u.int_in_range(0..=3)?) } else { None };
        Ok(Self { order, id })
    }
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for ReliableHeader {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        let (sequence, floor, causal) = u.arbitrary()?;
        let (terms, destination): (Terms, _) = u.arbitrary()?;
        Ok(Self { sequence, floor, causal, terms: terms.of(sequence), destination })
    }
}

impl ReliableHeader {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        encode_header_and(self, out, |out| self.terms.encode(out));
    }

    /// How many bytes it takes, the destination not counted.
    pub(super) fn encoded_len(&self) -> usize {
        header_len(self) + self.terms.encoded_len()
    }

    /// Reads what [`ReliableHeader::encode`] wrote; the destination and the payload are the rest.
    pub(super) fn decode(body: &Bytes) -> Result<(Self, Bytes), DecodeError> {
        let (header, mut more, rest): (Self, _, _) = decode_header_and(body)?;
        if more.is_empty() {
            return Ok((header, rest));
        }
        let terms = Terms::decode(&mut more, header.sequence)?;
        let whole = more.is_empty().then_some(());
        whole.ok_or(DecodeError::BadHeader)?;
        Ok((Self { terms, ..header }, rest))
    }
}

/// What a causal message must come after.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct CausalHeader {
    /// Among which messages.
    pub label: LabelId,
    /// Its number among all messages with this label that this life of the sender sent, from 1.
    pub number: u64,
    /// What the receiver must have delivered before.
    pub after: Bounded<Dependency, MAX_DEPENDENCIES>,
    /// What others must deliver before what is sent to them from now on.
    pub elsewhere: Bounded<Elsewhere, MAX_DEPENDENCIES>,
}

/// A causal message that must have been delivered before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Dependency {
    /// Who sent it.
    pub origin: Instance,
    /// Its number among what that sent with the label.
    pub number: u64,
}

/// A causal message to somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Elsewhere {
    /// To whom.
    pub to: Instance,
    /// Which.
    pub message: Dependency,
    /// How long ago it was sent, in milliseconds.
    pub age: u32,
}

/// What stands before the payload of a message of a monotonic channel, as before one that must
/// arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct NewestHeader {
    /// Of which messages it is the newest: a hash of channel, key and destination.
    pub place: u64,
    /// Greater than that of every message that this life of the sender sent before to the receiver
    /// on monotonic channels.
    pub number: u64,
    /// Whom it is for; behind the others, as in an application message.
    #[serde(skip)]
    pub destination: Destination,
}

/// Which messages of the receiver the sender has delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Acknowledgement {
    /// All up to this number, or given up by their sender.
    pub upto: u64,
    /// And those from the first to the last of each of these, ascending.
    pub also: Bounded<(u64, u64), MAX_RANGES>,
    /// And of monotonic channels: places, and the number of the newest message for each.
    pub newest: Bounded<(u64, u64), MAX_RANGES>,
}

impl Acknowledgement {
    /// As the payload of a relayed one.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        // Writing into memory that grows cannot fail.
        postcard::to_allocvec(self).unwrap_or_default().into()
    }

    /// Reads what [`Acknowledgement::encode`] wrote; `None` for anything else.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<Self> {
        read_whole(payload).ok()
    }
}
