//! Requests and their answers.

use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{DecodeError, ProcessAt};
use crate::call::Failure;
use crate::id::{Incarnation, ProcessName};
use crate::process::RequestId;

/// The longest header of a request, so that a sender can tell the longest payload: three numbers, a
/// kind, and a name with its length.
pub const MAX_REQUEST_HEADER: usize = 3 * 10 + 1 + 2 + 255;

/// What stands before the payload of a request.
///
/// ```text
/// length:u16  postcard(RequestHeader)      then the payload as it is
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct RequestHeader {
    /// The run of the caller's node.
    pub birth: Incarnation,
    /// What the caller calls it.
    pub request: RequestId,
    /// Who is to answer.
    pub to: ServerAt,
}

/// Who is to answer a request, at the receiver.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum ServerAt {
    /// This process.
    Process(ProcessAt),
    /// Whoever is registered under this name.
    Name(ProcessName),
    /// The function of this name.
    Function(ProcessName),
}

/// What stands before the payload of an answer, as before that of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct ReplyHeader {
    /// The run of the caller's node.
    pub birth: Incarnation,
    /// Which request.
    pub request: RequestId,
    /// Why there is no answer; then the payload is empty.
    pub failure: Option<Failure>,
}

/// Appends a header and its length.
pub(super) fn encode_header(header: &impl Serialize, out: &mut Vec<u8>) {
    encode_header_and(header, out, |_| ());
}

/// As [`encode_header`], with more behind it that counts as part of it.
pub(super) fn encode_header_and(
    header: &impl Serialize,
    out: &mut Vec<u8>,
    more: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&[0; 2]);
    // Serialising to a growing vector has no way to fail.
    *out = postcard::to_extend(header, core::mem::take(out)).expect("headers always serialise");
    more(out);
    // Reasons are at most 32 KiB, names 255 bytes.
    let length = u16::try_from(out.len() - start - 2).unwrap_or(u16::MAX);
    out[start..start + 2].copy_from_slice(&length.to_be_bytes());
}

/// How many bytes [`encode_header`] appends.
pub(super) fn header_len(header: &impl Serialize) -> usize {
    2 + postcard::experimental::serialized_size(header).unwrap_or_else(|_| usize::from(u16::MAX))
}

/// Reads a header from the front of `body`; the rest is the payload.
pub(super) fn decode_header<T: for<'de> Deserialize<'de>>(
    body: &Bytes,
) -> Result<(T, Bytes), DecodeError> {
    match decode_header_and(body)? {
        (header, [], rest) => Ok((header, rest)),
        (_, _, _) => Err(DecodeError::BadHeader),
    }
}

/// As [`decode_header`], where more may stand behind the header as part of it.
pub(super) fn decode_header_and<T: for<'de> Deserialize<'de>>(
    body: &Bytes,
) -> Result<(T, &[u8], Bytes), DecodeError> {
    let [high, low] = *body.first_chunk::<2>().ok_or(DecodeError::Truncated)?;
    let end = 2 + usize::from(u16::from_be_bytes([high, low]));
    let header = body.get(2..end).ok_or(DecodeError::Truncated)?;
    let (header, more) = postcard::take_from_bytes(header).map_err(|_| DecodeError::BadHeader)?;
    Ok((header, more, body.slice(end..)))
}
