//! What a node tells about itself when it is introduced.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::{Channels, MAX_CHANNELS, MAX_PARALLELISM};
use crate::error::{AddressError, SpecError};
use crate::id::{ChannelName, NodeId, NodeName, Tag};
use crate::wire::Bounded;

/// The most addresses a node may tell.
pub const MAX_ADDRESSES: usize = 8;
/// The most tags a node may have.
pub const MAX_TAGS: usize = 8;

/// The host of an [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "UncheckedHost")]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Host {
    /// An IP address.
    Ip(IpAddr),
    /// A name that the driver resolves each time it dials: 1 to 253 letters, digits, `-`, `_` and
    /// `.`, not digits and dots alone. Decoding and [`NodeSpec::new`] refuse others.
    Name(Box<str>),
}

#[derive(Deserialize)]
#[serde(rename = "Host")]
enum UncheckedHost {
    Ip(IpAddr),
    Name(Box<str>),
}

impl TryFrom<UncheckedHost> for Host {
    type Error = AddressError;

    fn try_from(host: UncheckedHost) -> Result<Self, AddressError> {
        match host {
            UncheckedHost::Ip(ip) => Ok(Self::Ip(ip)),
            UncheckedHost::Name(name) => {
                check_host_name(&name)?;
                Ok(Self::Name(name))
            }
        }
    }
}

/// Where a node listens: a host and a port.
///
/// As text `10.0.0.1:9000`, `[::1]:9000` or `db.example:9000`. An address that is told to others
/// has a port other than 0 and a host other than the unspecified one ([`NodeSpec::new`] checks).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Address {
    /// The host.
    pub host: Host,
    /// The TCP port.
    pub port: u16,
}

impl Address {
    /// Whether others can dial it: a port, and a host that is a well-formed name or an IP address
    /// other than `0.0.0.0` and `::`.
    #[must_use]
    pub fn is_dialable(&self) -> bool {
        let specified = match &self.host {
            Host::Ip(ip) => !ip.is_unspecified(),
            Host::Name(name) => check_host_name(name).is_ok(),
        };
        specified && self.port != 0
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self { host: Host::Ip(address.ip()), port: address.port() }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::NoPort)?;
        let port = port.parse().map_err(|_| AddressError::BadPort)?;
        let bracketed = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
        let host = match bracketed {
            Some(inner) => Host::Ip(inner.parse().map_err(|_| AddressError::BadHost)?),
            None if host.contains(':') => return Err(AddressError::UnbracketedV6),
            None => match host.parse::<IpAddr>() {
                Ok(ip) => Host::Ip(ip),
                Err(_) => Host::Name(check_host_name(host)?.into()),
            },
        };
        Ok(Self { host, port })
    }
}

fn check_host_name(host: &str) -> Result<&str, AddressError> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    // Four numbers with dots that are no IPv4 address would be looked up in vain.
    let numeric = host.chars().all(|c| c.is_ascii_digit() || c == '.');
    if host.is_empty() || host.len() > 253 || numeric || !host.chars().all(fine) {
        return Err(AddressError::BadHost);
    }
    Ok(host)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => fmt::Display::fmt(&SocketAddr::new(*ip, self.port), f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// One channel as a [`NodeSpec`] tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct ChannelSpec {
    /// The channel's name.
    pub name: ChannelName,
    /// How many connections (lanes) the node wants for it, 1 to [`MAX_PARALLELISM`].
    pub parallelism: u8,
}

/// A node as others know it: its name, where it listens, its channels and its tags.
///
/// Canonical (sorted, without duplicates), so that two specs are equal exactly when they say the
/// same. The fat part of an identity: it travels only when peers are introduced to each other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "UncheckedSpec")]
pub struct NodeSpec {
    name: NodeName,
    addresses: Box<[Address]>,
    channels: Box<[ChannelSpec]>,
    tags: Box<[Tag]>,
    /// No fewer bytes than it takes in a message. Kept, since the lists lie elsewhere in memory,
    /// and a shuffle asks this of a dozen nodes.
    #[serde(skip_serializing)]
    most_bytes: u32,
}

// A node of a partial view knows dozens.
const _: () = assert!(size_of::<NodeSpec>() <= 80);

#[derive(Deserialize)]
struct UncheckedSpec {
    name: NodeName,
    addresses: Bounded<Address, MAX_ADDRESSES>,
    channels: Bounded<ChannelSpec, MAX_CHANNELS>,
    tags: Bounded<Tag, MAX_TAGS>,
}

impl TryFrom<UncheckedSpec> for NodeSpec {
    type Error = SpecError;

    fn try_from(spec: UncheckedSpec) -> Result<Self, SpecError> {
        Self::checked(spec.name, spec.addresses.into(), spec.channels.into(), spec.tags.into())
    }
}

impl NodeSpec {
    /// The spec of a node with this configuration of channels.
    ///
    /// # Errors
    /// [`SpecError`] when there are too many addresses or tags, or an address that nobody could
    /// dial.
    pub fn new(
        name: NodeName,
        addresses: Vec<Address>,
        channels: &Channels,
        tags: Vec<Tag>,
    ) -> Result<Self, SpecError> {
        Self::checked(name, addresses, channels.specs(), tags)
    }

    fn checked(
        name: NodeName,
        mut addresses: Vec<Address>,
        mut channels: Vec<ChannelSpec>,
        mut tags: Vec<Tag>,
    ) -> Result<Self, SpecError> {
        addresses.sort_unstable();
        addresses.dedup();
        channels.sort_unstable();
        tags.sort_unstable();
        tags.dedup();
        if addresses.len() > MAX_ADDRESSES {
            return Err(SpecError::TooManyAddresses { limit: MAX_ADDRESSES });
        }
        if let Some(bad) = addresses.iter().find(|address| !address.is_dialable()) {
            return Err(SpecError::NotDialable { address: bad.clone() });
        }
        if tags.len() > MAX_TAGS {
            return Err(SpecError::TooManyTags { limit: MAX_TAGS });
        }
        let twice = channels.windows(2).any(|pair| pair[0].name == pair[1].name);
        let lanes = |channel: &ChannelSpec| usize::from(channel.parallelism);
        let within = channels.iter().all(|channel| (1..=MAX_PARALLELISM).contains(&lanes(channel)));
        if twice || !within || channels.len() > MAX_CHANNELS {
            return Err(SpecError::BadChannels);
        }
        let most_bytes = most_bytes(&name, &addresses, &channels, &tags);
        let (addresses, channels, tags) = (addresses.into(), channels.into(), tags.into());
        Ok(Self { name, addresses, channels, tags, most_bytes })
    }

    /// No fewer bytes than it takes in a message.
    pub(crate) const fn most_bytes(&self) -> usize {
        self.most_bytes as usize
    }

    /// The node's identifier.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.name.id()
    }

    /// The node's name.
    #[must_use]
    pub const fn name(&self) -> &NodeName {
        &self.name
    }

    /// Where it listens, sorted; empty for a node that only dials.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Its channels, sorted by name.
    #[must_use]
    pub fn channels(&self) -> &[ChannelSpec] {
        &self.channels
    }

    /// Its tags, sorted.
    #[must_use]
    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }
}

/// Each length and number at its longest; the lengths of all lists are bounded.
fn most_bytes(
    name: &NodeName,
    addresses: &[Address],
    channels: &[ChannelSpec],
    tags: &[Tag],
) -> u32 {
    let host = |address: &Address| match &address.host {
        Host::Name(name) => name.len(),
        Host::Ip(_) => 17,
    };
    let addresses: usize = addresses.iter().map(|address| host(address) + 8).sum();
    let channels: usize = channels.iter().map(|channel| channel.name.as_str().len() + 4).sum();
    let tags: usize = tags.iter().map(|tag| tag.as_str().len() + 3).sum();
    (name.as_str().len() + addresses + channels + tags + 20) as u32
}

impl fmt::Debug for NodeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeSpec")
            .field("name", &self.name)
            .field("addresses", &self.addresses)
            .field("channels", &self.channels)
            .field("tags", &self.tags)
            .finish()
    }
}

impl fmt::Display for NodeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name.as_str())?;
        for (i, address) in self.addresses.iter().enumerate() {
            write!(f, "{}{address}", if i == 0 { " at " } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for NodeSpec {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        let port = u.int_in_range(1..=3)?;
        let address = Address { host: Host::Ip([127, 0, 0, 1].into()), port };
        let channels = Channels::default();
        Self::new(u.arbitrary()?, alloc::vec![address], &channels, Vec::new())
            .map_err(|_| arbitrary::Error::IncorrectFormat)
    }
}

/// Reads a list of addresses separated by commas.
///
/// # Errors
/// The piece that is no address, and why.
pub fn parse_addresses(text: &str) -> Result<Vec<Address>, (String, AddressError)> {
    let pieces = text.split(',').map(str::trim).filter(|piece| !piece.is_empty());
    pieces.map(|piece| piece.parse().map_err(|error| (piece.into(), error))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    #[test]
    fn addresses_are_read_in_every_documented_form() {
        for text in ["10.0.0.1:9000", "[::1]:9000", "db-1.example:9000", "localhost:0"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn bad_addresses_are_told_apart() {
        let error = |text: &str| text.parse::<Address>().unwrap_err();
        assert_eq!(error("10.0.0.1"), AddressError::NoPort);
        assert_eq!(error("10.0.0.1:"), AddressError::BadPort);
        assert_eq!(error("10.0.0.1:70000"), AddressError::BadPort);
        assert_eq!(error("::1:9000"), AddressError::UnbracketedV6);
        assert_eq!(error(":9000"), AddressError::BadHost);
        assert_eq!(error("a b:9000"), AddressError::BadHost);
        assert_eq!(error("300.0.0.1:9000"), AddressError::BadHost);
        assert_eq!(error("[1.2.3:1"), AddressError::BadHost);
    }

    fn spec(addresses: &[&str]) -> Result<NodeSpec, SpecError> {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        NodeSpec::new(NodeName::new("a@h").unwrap(), addresses, &Channels::default(), vec![])
    }

    #[test]
    fn a_spec_is_canonical() {
        let one = spec(&["10.0.0.2:1", "10.0.0.1:1", "10.0.0.2:1"]).unwrap();
        assert_eq!(one, spec(&["10.0.0.1:1", "10.0.0.2:1"]).unwrap());
        assert_eq!(one.addresses().len(), 2);
    }

    #[test]
    fn an_address_nobody_can_dial_is_refused() {
        assert!(matches!(spec(&["0.0.0.0:9000"]), Err(SpecError::NotDialable { .. })));
        assert!(matches!(spec(&["[::]:9000"]), Err(SpecError::NotDialable { .. })));
        assert!(matches!(spec(&["10.0.0.1:0"]), Err(SpecError::NotDialable { .. })));
    }
}
