//! Why a process ended.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::wire::Bounded;

/// The longest reason of an application's own, or text of a panic, in bytes.
pub const MAX_REASON: usize = 32 << 10;

/// Why a process ended, or is to end (Erlang's exit reasons).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum ExitReason {
    /// It had done what it was there for (`normal`). Linked processes go on.
    Normal,
    /// It was told to end in good order (`shutdown`).
    Shutdown,
    /// As [`ExitReason::Shutdown`], with bytes of the application's (`{shutdown, Term}`).
    ShutdownWith(ReasonBytes),
    /// As the reason of an exit signal from one process to another: end at once, whether exits are
    /// trapped or not (`kill`).
    Kill,
    /// It was ended by [`ExitReason::Kill`] (`killed`).
    Killed,
    /// There is no such process (`noproc`).
    NoProcess,
    /// The session with its node ended, so that nothing is known of it (`noconnection`).
    NoConnection,
    /// A bound was reached that its node sets to what others may ask of it (`system_limit`).
    SystemLimit,
    /// It panicked: the text of the panic, cut to [`MAX_REASON`].
    Panicked(ReasonText),
    /// Anything else, as the application writes it.
    Other(ReasonBytes),
}

/// A reason of the application's own, at most [`MAX_REASON`] bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReasonBytes(Bounded<u8, MAX_REASON>);

/// What a panic said.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReasonText(Bounded<u8, MAX_REASON>);

impl ExitReason {
    /// A reason of the application's own; `None` when it is longer than [`MAX_REASON`].
    #[must_use]
    pub fn other(bytes: &[u8]) -> Option<Self> {
        ReasonBytes::new(bytes).map(Self::Other)
    }

    /// A shutdown with bytes of the application's; `None` when they are more than [`MAX_REASON`].
    #[must_use]
    pub fn shutdown_with(bytes: &[u8]) -> Option<Self> {
        ReasonBytes::new(bytes).map(Self::ShutdownWith)
    }

    /// A panic that said `text`.
    #[must_use]
    pub fn panicked(text: &str) -> Self {
        let mut end = text.len().min(MAX_REASON);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self::Panicked(ReasonText(Bounded::from_first(text[..end].bytes())))
    }

    /// How many bytes of an application's own, or of a panic, it holds.
    #[must_use]
    pub fn payload_len(&self) -> usize {
        match self {
            Self::ShutdownWith(bytes) | Self::Other(bytes) => bytes.0.len(),
            Self::Panicked(text) => text.0.len(),
            _ => 0,
        }
    }

    /// Whether linked processes go on all the same.
    #[must_use]
    pub const fn is_normal(&self) -> bool {
        matches!(self, Self::Normal)
    }

    /// Whether it ended in good order (`normal`, `shutdown`, `{shutdown, _}`): nothing to log, and
    /// no reason to start a transient child again.
    #[must_use]
    pub const fn is_orderly(&self) -> bool {
        matches!(self, Self::Normal | Self::Shutdown | Self::ShutdownWith(_))
    }
}

impl ReasonBytes {
    /// These bytes; `None` when they are more than [`MAX_REASON`].
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let fits = bytes.len() <= MAX_REASON;
        fits.then(|| Self(Bounded::from_first(bytes.iter().copied())))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl ReasonText {
    /// The text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

impl ReasonBytes {
    /// What they say, where they are a text: UTF-8 without control characters but white space.
    fn text(&self) -> Option<&str> {
        let text = core::str::from_utf8(&self.0).ok()?;
        let odd = |character: char| character.is_control() && !character.is_whitespace();
        (!text.contains(odd)).then_some(text)
    }
}

impl fmt::Debug for ReasonBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Some(text) => fmt::Debug::fmt(text, f),
            None => write!(f, "b\"{}\"", self.0.escape_ascii()),
        }
    }
}

/// A text as it is; other bytes escaped.
impl fmt::Display for ReasonBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Some(text) => f.write_str(text),
            None => fmt::Debug::fmt(self, f),
        }
    }
}

impl fmt::Debug for ReasonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text(), f)
    }
}

impl fmt::Debug for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("normal"),
            Self::Shutdown => f.write_str("shutdown"),
            Self::ShutdownWith(bytes) => write!(f, "shutdown: {bytes}"),
            Self::Kill => f.write_str("kill"),
            Self::Killed => f.write_str("killed"),
            Self::NoProcess => f.write_str("no such process"),
            Self::NoConnection => f.write_str("no connection"),
            Self::SystemLimit => f.write_str("a limit of its node is reached"),
            Self::Panicked(text) => write!(f, "panicked: {}", text.text()),
            Self::Other(bytes) => write!(f, "{bytes}"),
        }
    }
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for ReasonBytes {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        let length = u.int_in_range(0..=8)?;
        Ok(Self(Bounded::from_first(u.bytes(length)?.iter().copied())))
    }
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for ReasonText {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self(Bounded::from_first(u.choose(&["", "oh", "ünï"])?.bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec;

    #[test]
    fn a_reason_of_the_application_is_kept_whole_or_refused() {
        let most = vec![7; MAX_REASON];
        match ExitReason::other(&most) {
            Some(ExitReason::Other(bytes)) => assert_eq!(bytes.as_bytes(), most),
            other => panic!("{other:?}"),
        }
        assert_eq!(ExitReason::other(&vec![7; MAX_REASON + 1]), None);
        assert_eq!(ExitReason::shutdown_with(&vec![7; MAX_REASON + 1]), None);
    }

    #[test]
    fn the_text_of_a_panic_is_cut_between_characters() {
        let text = format!("{}ä", "x".repeat(MAX_REASON - 1));
        match ExitReason::panicked(&text) {
            ExitReason::Panicked(kept) => assert_eq!(kept.text(), "x".repeat(MAX_REASON - 1)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_text_is_shown_as_it_is_and_other_bytes_are_escaped() {
        let shown = |bytes: &[u8]| ExitReason::other(bytes).unwrap().to_string();
        assert_eq!(shown("the disk is voll: \u{fc}".as_bytes()), "the disk is voll: \u{fc}");
        assert_eq!(shown(b"two\nlines"), "two\nlines");
        assert_eq!(shown(b"\x01\xff"), r#"b"\x01\xff""#);
        assert_eq!(shown(b"a\x1b[31m"), r#"b"a\x1b[31m""#);
        let shutdown = ExitReason::shutdown_with(b"upgrade").unwrap();
        assert_eq!(shutdown.to_string(), "shutdown: upgrade");
        let bytes = ReasonBytes::new(b"he said \"no\"").unwrap();
        assert_eq!(format!("{bytes:?}"), r#""he said \"no\"""#);
    }

    #[test]
    fn three_reasons_are_orderly_and_one_of_them_normal() {
        let shutdown = ExitReason::shutdown_with(b"x").unwrap();
        assert!(ExitReason::Normal.is_orderly() && ExitReason::Normal.is_normal());
        assert!(shutdown.is_orderly() && !shutdown.is_normal());
        assert!(!ExitReason::Killed.is_orderly() && !ExitReason::panicked("x").is_orderly());
    }
}
