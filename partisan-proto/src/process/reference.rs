//! Remote references (`partisan_remote_ref`): what names a process or a request anywhere in the
//! cluster, as a value, as bytes and as text.
//!
//! ```text
//! partisan:pid:<node>:<birth>:<serial>
//! partisan:name:<node>:<name>
//! partisan:ref:<node>:<birth>:<owner>:<number>
//! ```
//!
//! `<node>` is the node's name, or `#` and the sixteen hexadecimal digits of its identifier, which
//! is what a reference itself holds. In names `%`, `:` and a leading `#` are written as `%` and two
//! hexadecimal digits. Further parts behind a `:` are skipped: they are left for later versions,
//! and the original pads its references with them.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::{FromStr, Split};

use serde::{Deserialize, Serialize};

use super::{ProcessId, ReplyTo, RequestId, Serial, Target};
use crate::id::{Incarnation, NodeId, NodeName, ProcessName};
use crate::wire::read_whole;

/// Names a process, or a request that waits for its answer, anywhere in the cluster.
///
/// May travel inside payloads, by serde or as [`Reference::to_bytes`], and stays routable. Equality
/// includes the run of the node: a reference to a process of an older run never equals one to a
/// newer process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Reference {
    /// A process.
    Process(ProcessId),
    /// Whatever process is registered under a name there at the time of use.
    Name {
        /// Where.
        node: NodeId,
        /// Under which name.
        name: ProcessName,
    },
    /// A request, to be answered.
    Request(ReplyTo),
}

/// Why a reference is not to something of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// It is another node's.
    #[error("it belongs to node {0}; send to it there")]
    NotLocal(NodeId),
    /// It is of an older run of this node, so what it named is gone.
    #[error("it is of an earlier run of this node ({birth}); what it named is gone")]
    Stale {
        /// The run that it is of.
        birth: Incarnation,
    },
    /// It names something else.
    #[error("it is no reference to a {wanted}")]
    WrongKind {
        /// What was asked for.
        wanted: &'static str,
    },
}

/// Why a text or bytes are no reference.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ParseReferenceError {
    /// It does not begin with `partisan:` and a kind.
    #[error("it does not begin with `partisan:pid:`, `partisan:name:` or `partisan:ref:`")]
    NotAReference,
    /// A part is missing.
    #[error("the {0} is missing")]
    Missing(&'static str),
    /// A part is no such thing.
    #[error("the {part} `{given}` is not valid")]
    Bad {
        /// Which part.
        part: &'static str,
        /// What stands there.
        given: String,
    },
    /// Bytes that do not decode, or more bytes than the reference has.
    #[error("these bytes are no reference")]
    BadBytes,
}

impl Reference {
    /// The node that it belongs to.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        match self {
            Self::Process(process) => process.node,
            Self::Name { node, .. } => *node,
            Self::Request(reply_to) => reply_to.node,
        }
    }

    /// The process, where it names one by its identifier.
    ///
    /// # Errors
    /// [`ReferenceError::WrongKind`].
    pub const fn process(&self) -> Result<ProcessId, ReferenceError> {
        match self {
            Self::Process(process) => Ok(*process),
            Self::Name { .. } | Self::Request(_) => {
                Err(ReferenceError::WrongKind { wanted: "process" })
            }
        }
    }

    /// The name, where it names a process by its name.
    ///
    /// # Errors
    /// [`ReferenceError::WrongKind`].
    pub const fn name(&self) -> Result<&ProcessName, ReferenceError> {
        match self {
            Self::Name { name, .. } => Ok(name),
            Self::Process(_) | Self::Request(_) => {
                Err(ReferenceError::WrongKind { wanted: "name" })
            }
        }
    }

    /// Whom to send to, to watch or to ask, where it names a process in either way.
    ///
    /// # Errors
    /// [`ReferenceError::WrongKind`].
    pub fn target(&self) -> Result<Target, ReferenceError> {
        match self {
            Self::Process(process) => Ok(Target::Process(*process)),
            Self::Name { node, name } => Ok(Target::Name(*node, name.clone())),
            Self::Request(_) => Err(ReferenceError::WrongKind { wanted: "process" }),
        }
    }

    /// Where an answer goes, where it names a request.
    ///
    /// # Errors
    /// [`ReferenceError::WrongKind`].
    pub const fn request(&self) -> Result<ReplyTo, ReferenceError> {
        match self {
            Self::Request(reply_to) => Ok(*reply_to),
            Self::Process(_) | Self::Name { .. } => {
                Err(ReferenceError::WrongKind { wanted: "request" })
            }
        }
    }

    /// Whether it belongs to this node in the run that began with `birth`.
    ///
    /// # Errors
    /// [`ReferenceError::NotLocal`] or [`ReferenceError::Stale`].
    pub fn check_local(&self, node: NodeId, birth: Incarnation) -> Result<(), ReferenceError> {
        if self.node() != node {
            return Err(ReferenceError::NotLocal(self.node()));
        }
        match self {
            Self::Process(ProcessId { birth: other, .. })
            | Self::Request(ReplyTo { birth: other, .. })
                if *other != birth =>
            {
                Err(ReferenceError::Stale { birth: *other })
            }
            Self::Process(_) | Self::Name { .. } | Self::Request(_) => Ok(()),
        }
    }

    /// As few bytes as will do: three to some dozens.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Serialising to a growing vector has no way to fail.
        postcard::to_allocvec(self).expect("references always serialise")
    }

    /// What [`Reference::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`ParseReferenceError::BadBytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParseReferenceError> {
        read_whole(bytes).map_err(|_| ParseReferenceError::BadBytes)
    }

    /// As text, with the node's name in place of its identifier; `node` must be its name.
    #[must_use]
    pub fn to_text(&self, node: &NodeName) -> String {
        alloc::format!("{}", Shown { reference: self, node: Some(node) })
    }
}

impl From<ProcessId> for Reference {
    fn from(process: ProcessId) -> Self {
        Self::Process(process)
    }
}

impl From<Target> for Reference {
    fn from(target: Target) -> Self {
        match target {
            Target::Process(process) => Self::Process(process),
            Target::Name(node, name) => Self::Name { node, name },
        }
    }
}

impl From<ReplyTo> for Reference {
    fn from(reply_to: ReplyTo) -> Self {
        Self::Request(reply_to)
    }
}

struct Shown<'a> {
    reference: &'a Reference,
    node: Option<&'a NodeName>,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.reference {
            Reference::Process(_) => "pid",
            Reference::Name { .. } => "name",
            Reference::Request(_) => "ref",
        };
        write!(f, "partisan:{kind}:")?;
        match self.node {
            Some(name) => escape(name.as_str(), f)?,
            None => write!(f, "#{}", self.reference.node())?,
        }
        match self.reference {
            Reference::Process(process) => write!(f, ":{}:{}", process.birth, process.serial.0),
            Reference::Name { name, .. } => {
                f.write_str(":")?;
                escape(name.as_str(), f)
            }
            Reference::Request(ReplyTo { birth, request, .. }) => {
                write!(f, ":{birth}:{}:{}", request.owner.0, request.number)
            }
        }
    }
}

fn escape(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (place, character) in text.chars().enumerate() {
        match character {
            '%' | ':' => write!(f, "%{:02x}", character as u32)?,
            '#' if place == 0 => write!(f, "%{:02x}", character as u32)?,
            plain => write!(f, "{plain}")?,
        }
    }
    Ok(())
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                bytes.push((high * 16 + low) as u8);
            }
            plain => bytes.push(plain),
        }
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Shown { reference: self, node: None }, f)
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Reference::Process(*self), f)
    }
}

/// The parts of a text between its colons.
struct Parts<'a>(Split<'a, char>);

impl<'a> Parts<'a> {
    fn next(&mut self, part: &'static str) -> Result<&'a str, ParseReferenceError> {
        self.0.next().ok_or(ParseReferenceError::Missing(part))
    }

    fn node(&mut self) -> Result<NodeId, ParseReferenceError> {
        let given = self.next("node")?;
        let bad = || ParseReferenceError::Bad { part: "node", given: given.into() };
        let Some(digits) = given.strip_prefix('#') else {
            let name = unescape(given).ok_or_else(bad)?;
            return NodeName::new(&name).map(|name| name.id()).map_err(|_| bad());
        };
        // `from_str_radix` takes a sign, too.
        let hexadecimal = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let number = u64::from_str_radix(digits, 16).ok().filter(|_| hexadecimal);
        number.map(NodeId::from_u64).ok_or_else(bad)
    }

    fn number(&mut self, part: &'static str) -> Result<u64, ParseReferenceError> {
        let given = self.next(part)?;
        let digits = given.bytes().all(|byte| byte.is_ascii_digit());
        let number = given.parse().ok().filter(|_| digits);
        number.ok_or_else(|| ParseReferenceError::Bad { part, given: given.into() })
    }

    fn birth(&mut self) -> Result<Incarnation, ParseReferenceError> {
        let number = self.number("incarnation")?;
        let bad =
            |_| ParseReferenceError::Bad { part: "incarnation", given: alloc::format!("{number}") };
        Incarnation::try_from(number).map_err(bad)
    }
}

impl FromStr for Reference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, ParseReferenceError> {
        let mut parts = Parts(text.split(':'));
        if parts.next("scheme")? != "partisan" {
            return Err(ParseReferenceError::NotAReference);
        }
        match parts.0.next() {
            Some("pid") => {
                let (node, birth) = (parts.node()?, parts.birth()?);
                let serial = Serial(parts.number("serial number")?);
                Ok(Self::Process(ProcessId { node, birth, serial }))
            }
            Some("name") => {
                let (node, given) = (parts.node()?, parts.next("name")?);
                let name = unescape(given).and_then(|name| ProcessName::new(&name).ok());
                let bad = || ParseReferenceError::Bad { part: "name", given: given.into() };
                Ok(Self::Name { node, name: name.ok_or_else(bad)? })
            }
            Some("ref") => {
                let (node, birth) = (parts.node()?, parts.birth()?);
                let owner = Serial(parts.number("owner")?);
                let request = RequestId { owner, number: parts.number("number")? };
                Ok(Self::Request(ReplyTo { node, birth, request }))
            }
            _ => Err(ParseReferenceError::NotAReference),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use core::hash::{Hash, Hasher};
    use proptest::prelude::*;

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn any_reference() -> impl Strategy<Value = (Reference, NodeName)> {
        let name =
            || "[a-z#%:@ä😀]{1,12}".prop_filter("a name", |text| NodeName::new(text).is_ok());
        let numbers = (0..=Incarnation::MOST.0, any::<u64>(), any::<u64>(), 0..3u8);
        (name(), name(), numbers).prop_map(|(node, name, (birth, first, second, kind))| {
            let node = NodeName::new(&node).unwrap();
            let (id, birth) = (node.id(), Incarnation(birth));
            let reference = match kind {
                0 => Reference::Process(ProcessId { node: id, birth, serial: Serial(first) }),
                1 => Reference::Name { node: id, name: ProcessName::new(&name).unwrap() },
                _ => {
                    let request = RequestId { owner: Serial(first), number: second };
                    Reference::Request(ReplyTo { node: id, birth, request })
                }
            };
            (reference, node)
        })
    }

    proptest! {
        #[test]
        fn text_and_bytes_read_back((reference, node) in any_reference()) {
            prop_assert_eq!(&reference.to_string().parse::<Reference>().unwrap(), &reference);
            prop_assert_eq!(&reference.to_text(&node).parse::<Reference>().unwrap(), &reference);
            // Whatever stands behind is skipped, and so is the padding of the original.
            let padded = alloc::format!("{}:more:\u{19}\u{19}", reference.to_text(&node));
            prop_assert_eq!(&padded.parse::<Reference>().unwrap(), &reference);
            prop_assert_eq!(&Reference::from_bytes(&reference.to_bytes()).unwrap(), &reference);
        }

        #[test]
        fn no_text_and_no_bytes_panic(text in "(partisan:(pid|name|ref):)?[#%:a-f0-9ä+-]{0,40}") {
            _ = text.parse::<Reference>();
            _ = Reference::from_bytes(text.as_bytes());
        }
    }

    proptest! {
        /// They may be the keys of maps: equal ones hash alike, and their order is total.
        #[test]
        fn references_are_keys(all in prop::collection::vec(any_reference(), 0..20)) {
            let all: Vec<Reference> = all.into_iter().map(|(reference, _)| reference).collect();
            let sorted: alloc::collections::BTreeSet<&Reference> = all.iter().collect();
            let distinct: alloc::collections::BTreeSet<Vec<u8>> =
                all.iter().map(Reference::to_bytes).collect();
            prop_assert_eq!(sorted.len(), distinct.len());
            let hash = |reference: &Reference| {
                let mut hasher = crate::wire::StableHasher::default();
                reference.hash(&mut hasher);
                hasher.finish()
            };
            for reference in &all {
                let copy = Reference::from_bytes(&reference.to_bytes()).unwrap();
                prop_assert_eq!(hash(reference), hash(&copy));
            }
            for (one, other) in sorted.iter().zip(sorted.iter().skip(1)) {
                prop_assert!(one < other);
            }
        }
    }

    #[test]
    fn a_text_says_what_it_names() {
        let alice = node("alice@host");
        let pid = ProcessId { node: alice.id(), birth: Incarnation(3), serial: Serial(17) };
        assert_eq!(Reference::from(pid).to_text(&alice), "partisan:pid:alice@host:3:17");
        assert_eq!(pid.to_string(), alloc::format!("partisan:pid:#{}:3:17", alice.id()));
        let name = ProcessName::new("a:b").unwrap();
        let named = Reference::Name { node: alice.id(), name };
        assert_eq!(named.to_text(&alice), "partisan:name:alice@host:a%3ab");
    }

    #[test]
    fn each_fault_of_a_text_has_its_error() {
        let error = |text: &str| text.parse::<Reference>().unwrap_err();
        let bad = |part, given: &str| ParseReferenceError::Bad { part, given: given.into() };
        assert_eq!(error(""), ParseReferenceError::NotAReference);
        assert_eq!(error("partisan:port:a:1:2"), ParseReferenceError::NotAReference);
        assert_eq!(error("partisan:pid"), ParseReferenceError::Missing("node"));
        assert_eq!(error("partisan:pid:a:1"), ParseReferenceError::Missing("serial number"));
        assert_eq!(error("partisan:pid:a:x:1"), bad("incarnation", "x"));
        assert_eq!(error("partisan:pid:a:1:+2"), bad("serial number", "+2"));
        assert_eq!(error("partisan:pid:#12:1:2"), bad("node", "#12"));
        assert_eq!(error("partisan:pid::1:2"), bad("node", ""));
        assert_eq!(error("partisan:name:a:%zz"), bad("name", "%zz"));
        assert_eq!(error("partisan:name:a:"), bad("name", ""));
        let beyond = alloc::format!("partisan:pid:a:{}:1", u64::MAX);
        assert_eq!(error(&beyond), bad("incarnation", &u64::MAX.to_string()));
    }

    #[test]
    fn what_is_local_is_told_from_what_is_elsewhere_or_gone() {
        let (alice, bob, birth) = (node("alice").id(), node("bob").id(), Incarnation(5));
        let pid = |node, birth| Reference::from(ProcessId { node, birth, serial: Serial(1) });
        assert_eq!(pid(alice, birth).check_local(alice, birth), Ok(()));
        let elsewhere = pid(bob, birth).check_local(alice, birth);
        assert_eq!(elsewhere, Err(ReferenceError::NotLocal(bob)));
        let old = pid(alice, Incarnation(4)).check_local(alice, birth);
        assert_eq!(old, Err(ReferenceError::Stale { birth: Incarnation(4) }));
        let name = Reference::Name { node: alice, name: ProcessName::new("x").unwrap() };
        assert_eq!(name.check_local(alice, birth), Ok(()));
        assert!(name.process().is_err() && name.request().is_err() && name.name().is_ok());
        let target = Target::from((alice, ProcessName::new("x").unwrap()));
        assert_eq!((name.target(), Reference::from(target.clone())), (Ok(target), name));
    }
}
