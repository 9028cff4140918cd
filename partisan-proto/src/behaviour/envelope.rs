//! How casts, calls and system requests are told from everything else.
//!
//! ```text
//! message = FF 'g' 'c' 01 6B D2 F0 9E  cast
//!           FF 'g' 'c' 02              a timer of the behaviour itself, if it has its number
//!           anything else is an info
//! request = 00  call  |  01  system request
//! ```
//!
//! A message has one payload, which travels in many ways: in a frame of its own, relayed, acknowledged,
//! broadcast, behind a timer; a mark beside it would have to travel in all of them. So the mark stands
//! in the payload. It is long enough that no other payload begins so by chance (once in 2^64, and then
//! what follows must still read as a cast to its last byte); whoever writes it means it.

use alloc::vec::Vec;

use bytes::{BufMut, Bytes};
use serde::Serialize;

/// How a cast begins. No text in UTF-8 begins so.
const CAST: [u8; 8] = [0xFF, b'g', b'c', 1, 0x6B, 0xD2, 0xF0, 0x9E];
/// What a timer of the behaviour itself says, so that one that came too late is told from those of
/// the application.
const TIMER: &[u8] = &[0xFF, b'g', b'c', 2];
const CALL: u8 = 0;
const SYSTEM: u8 = 1;

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked<'a> {
    Call(&'a [u8]),
    System(&'a [u8]),
    /// By something that knows nothing of behaviours.
    Unknown,
}

pub(super) fn cast(message: &impl Serialize) -> Result<Bytes, postcard::Error> {
    behind(&CAST, message)
}

/// What a cast says, if the message is one.
pub(super) fn as_cast(payload: &[u8]) -> Option<&[u8]> {
    payload.strip_prefix(&CAST)
}

pub(super) const fn timer() -> Bytes {
    Bytes::from_static(TIMER)
}

pub(super) fn is_timer(payload: &[u8]) -> bool {
    payload == TIMER
}

pub(super) fn call(question: &impl Serialize) -> Result<Bytes, postcard::Error> {
    behind(&[CALL], question)
}

pub(super) fn system(question: &impl Serialize) -> Result<Bytes, postcard::Error> {
    behind(&[SYSTEM], question)
}

pub(super) const fn asked(payload: &[u8]) -> Asked<'_> {
    match payload {
        [CALL, rest @ ..] => Asked::Call(rest),
        [SYSTEM, rest @ ..] => Asked::System(rest),
        _ => Asked::Unknown,
    }
}

/// Writes any value.
pub(super) fn write(value: &(impl Serialize + ?Sized)) -> Result<Bytes, postcard::Error> {
    Ok(postcard::to_allocvec(value)?.into())
}

pub(super) use crate::wire::read_whole as read;

fn behind(tag: &[u8], value: &impl Serialize) -> Result<Bytes, postcard::Error> {
    let mut bytes = Vec::with_capacity(tag.len() + 16);
    bytes.put_slice(tag);
    Ok(postcard::to_extend(value, bytes)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn casts_calls_and_system_requests_are_told_from_each_other_and_from_all_else() {
        let cast = cast(&7_u8).unwrap();
        assert_eq!(&cast[..], [0xFF, b'g', b'c', 1, 0x6B, 0xD2, 0xF0, 0x9E, 7]);
        assert_eq!(as_cast(&cast), Some(&[7][..]));
        assert_eq!(as_cast(b"gc"), None);
        assert_eq!(as_cast(&cast[..7]), None);
        assert_eq!(as_cast(b"\xFFgc\x01\x07"), None, "a part of the mark is none");
        assert_eq!(asked(&call(&7_u8).unwrap()), Asked::Call(&[7]));
        assert_eq!(asked(&system(&7_u8).unwrap()), Asked::System(&[7]));
        assert_eq!(asked(b""), Asked::Unknown);
        assert_eq!(asked(b"\x02"), Asked::Unknown);
    }

    #[test]
    fn a_value_takes_all_of_its_bytes() {
        assert_eq!(read::<u8>(&[7]), Ok(7));
        assert!(read::<u8>(&[7, 0]).is_err());
        assert!(read::<u8>(&[]).is_err());
    }
}
