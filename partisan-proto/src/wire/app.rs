//! The header of application messages: written by hand, a few bytes, never through serde.

use alloc::vec::Vec;

use bytes::{Buf, BufMut, Bytes};

use super::{DecodeError, ProcessAt};
use crate::id::Incarnation;
use crate::process::Serial;

/// The longest header, so that a sender can tell the longest payload.
pub const MAX_APP_HEADER: usize = 2 + 255;

/// Whom an application message is for, at its node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Destination {
    /// The node's own inbox.
    #[default]
    Inbox,
    /// What is registered there under this name; made by [`Destination::name`].
    Name(DestinationName),
    /// This process of it; dropped there once it has ended.
    Process(ProcessAt),
}

/// The name in a [`Destination`]: 1 to 255 bytes of UTF-8, sharing the memory of the frame that it
/// came in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DestinationName(Bytes);

impl DestinationName {
    fn checked(bytes: Bytes) -> Option<Self> {
        let fits = (1..=255).contains(&bytes.len()) && core::str::from_utf8(&bytes).is_ok();
        fits.then_some(Self(bytes))
    }
}

impl Destination {
    /// The destination called `name`; `None` when it is empty or longer than 255 bytes.
    #[must_use]
    pub fn name(name: &str) -> Option<Self> {
        let fits = (1..=255).contains(&name.len());
        fits.then(|| Self::Name(DestinationName(Bytes::copy_from_slice(name.as_bytes()))))
    }

    /// How many bytes a header with this destination takes.
    pub(super) const fn header_len(&self) -> usize {
        match self {
            Self::Inbox => 1,
            Self::Name(DestinationName(bytes)) => 2 + bytes.len(),
            Self::Process(at) => 1 + varint_len(at.birth.0) + varint_len(at.serial.0),
        }
    }

    /// The name, where there is one.
    #[must_use]
    pub fn as_name(&self) -> Option<&str> {
        match self {
            Self::Inbox | Self::Process(_) => None,
            Self::Name(name) => core::str::from_utf8(&name.0).ok(),
        }
    }
}

/// What stands before the payload.
///
/// ```text
/// flags:u8                          0 = inbox, 1 = name, 2 = process
/// name:(u8 length, UTF-8)           with 1
/// birth:varint serial:varint        with 2; varints as LEB128 has them, at most ten bytes
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppHeader {
    /// Whom it is for.
    pub destination: Destination,
}

/// The whole header of a message for the inbox.
pub(super) const INBOX: u8 = 0;
const NAMED: u8 = 1;
const PROCESS: u8 = 2;

impl AppHeader {
    /// How many bytes it takes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.destination.header_len()
    }

    /// Reads a header from the front of `body`; the rest is the payload.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] or [`DecodeError::BadHeader`].
    pub fn decode(body: &Bytes) -> Result<(Self, Bytes), DecodeError> {
        match *body.first().ok_or(DecodeError::Truncated)? {
            INBOX => Ok((Self::default(), body.slice(1..))),
            NAMED => {
                let length = usize::from(*body.get(1).ok_or(DecodeError::Truncated)?);
                if body.len() < 2 + length {
                    return Err(DecodeError::Truncated);
                }
                let name = DestinationName::checked(body.slice(2..2 + length));
                let destination = Destination::Name(name.ok_or(DecodeError::BadHeader)?);
                Ok((Self { destination }, body.slice(2 + length..)))
            }
            PROCESS => {
                let mut rest = body.slice(1..);
                let birth = Incarnation::try_from(read_varint(&mut rest)?);
                let birth = birth.map_err(|_| DecodeError::BadHeader)?;
                let serial = Serial(read_varint(&mut rest)?);
                let destination = Destination::Process(ProcessAt { birth, serial });
                Ok((Self { destination }, rest))
            }
            _ => Err(DecodeError::BadHeader),
        }
    }
}

const fn varint_len(number: u64) -> usize {
    let bits = u64::BITS - (number | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

fn read_varint(rest: &mut Bytes) -> Result<u64, DecodeError> {
    let mut number = 0;
    for place in 0..10 {
        let byte = *rest.first().ok_or(DecodeError::Truncated)?;
        rest.advance(1);
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit; and one number is written one way only.
        if (place == 9 && bits > 1) || (place > 0 && byte == 0) {
            return Err(DecodeError::BadHeader);
        }
        number |= bits << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(DecodeError::BadHeader)
}

/// Appends a header to `out`; the payload follows it as it is.
pub fn encode_app_header(header: &AppHeader, out: &mut Vec<u8>) {
    match &header.destination {
        Destination::Inbox => out.put_u8(INBOX),
        Destination::Name(name) => {
            out.put_u8(NAMED);
            // At most 255 by construction.
            out.put_u8(name.0.len() as u8);
            out.put_slice(&name.0);
        }
        Destination::Process(at) => {
            out.put_u8(PROCESS);
            put_varint(at.birth.0, out);
            put_varint(at.serial.0, out);
        }
    }
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for Destination {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        if u.ratio(1, 4)? {
            return u.arbitrary().map(Self::Process);
        }
        let pool = ["", "a", "store", "ünï"];
        Ok(Self::name(u.choose(&pool)?).unwrap_or_default())
    }
}
