//! The channels of a node.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::id::{ChannelId, ChannelName};
use crate::spec::ChannelSpec;

/// The most channels a node may have, the two built-in ones included.
pub const MAX_CHANNELS: usize = 32;
/// The most lanes a channel may have.
pub const MAX_PARALLELISM: usize = 64;

/// The configured channels, by name; a [`ChannelId`] is a place in it.
///
/// Always holds `membership` ([`ChannelId::MEMBERSHIP`], one lane) and `default`
/// ([`ChannelId::DEFAULT`]); the others follow sorted by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<ChannelName, ChannelOptions>")]
#[serde(into = "BTreeMap<ChannelName, ChannelOptions>")]
pub struct Channels(Vec<(ChannelName, ChannelOptions)>);

/// How one channel behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChannelOptions {
    /// Connections (lanes) per peer, 1 to [`MAX_PARALLELISM`]. Two nodes that disagree use the
    /// smaller number. Default 1, as Partisan's `parallelism`.
    pub parallelism: u8,
    /// Whether of the messages for one destination, with one key, only the newest matters: while
    /// many are on their way older ones are left out, the last one always arrives, and none arrives
    /// after a newer one. Off by default. See [`delivery`](crate::delivery).
    pub monotonic: bool,
    /// Whether what this node sends on the channel is compressed, frame by frame, where that makes
    /// it shorter, to peers that can read it. What it may send is bounded by the frame limit before
    /// compression, and what it receives after decompression. `"none"` or `"lz4"`; none by default
    /// (Partisan's `compression`).
    pub compression: Compression,
}

/// How the frames of a channel are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// As LZ4 blocks.
    Lz4,
}

impl ChannelOptions {
    /// A channel of so many lanes.
    #[must_use]
    pub const fn lanes(parallelism: u8) -> Self {
        Self { parallelism, monotonic: false, compression: Compression::None }
    }
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self::lanes(1)
    }
}

impl Channels {
    /// The name of [`ChannelId::MEMBERSHIP`].
    pub const MEMBERSHIP: &'static str = "membership";
    /// The name of [`ChannelId::DEFAULT`].
    pub const DEFAULT: &'static str = "default";

    /// The built-in channels and these.
    ///
    /// # Errors
    /// [`ConfigError`] for a parallelism out of range, a membership channel with options, a name
    /// given twice, or too many channels.
    pub fn new(
        channels: impl IntoIterator<Item = (ChannelName, ChannelOptions)>,
    ) -> Result<Self, ConfigError> {
        let mut by_name = BTreeMap::new();
        for (name, options) in channels {
            if by_name.insert(name.clone(), options).is_some() {
                return Err(ConfigError::ChannelTwice { channel: name });
            }
        }
        Self::try_from(by_name)
    }

    /// Looks a channel up by its name.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<ChannelId> {
        let place = self.0.iter().position(|(known, _)| known.as_str() == name)?;
        Some(ChannelId(u8::try_from(place).ok()?))
    }

    /// The name of a channel; `None` for an id of another configuration.
    #[must_use]
    pub fn name(&self, id: ChannelId) -> Option<&ChannelName> {
        self.0.get(usize::from(id.0)).map(|(name, _)| name)
    }

    /// The options of a channel; `None` for an id of another configuration.
    #[must_use]
    pub fn options(&self, id: ChannelId) -> Option<ChannelOptions> {
        self.0.get(usize::from(id.0)).map(|(_, options)| *options)
    }

    /// Whether only the newest message matters on a channel.
    #[must_use]
    pub fn is_monotonic(&self, id: ChannelId) -> bool {
        self.options(id).is_some_and(|options| options.monotonic)
    }

    /// All channels with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (ChannelId, &ChannelName, ChannelOptions)> {
        self.0.iter().zip(0..).map(|((name, options), id)| (ChannelId(id), name, *options))
    }

    /// The channels as a [`NodeSpec`](crate::NodeSpec) tells them.
    #[must_use]
    pub fn specs(&self) -> Vec<ChannelSpec> {
        let spec = |(name, options): &(ChannelName, ChannelOptions)| ChannelSpec {
            name: name.clone(),
            parallelism: options.parallelism,
        };
        self.0.iter().map(spec).collect()
    }
}

impl Default for Channels {
    fn default() -> Self {
        Self::new([]).expect("the built-in channels are good")
    }
}

impl TryFrom<BTreeMap<ChannelName, ChannelOptions>> for Channels {
    type Error = ConfigError;

    fn try_from(mut named: BTreeMap<ChannelName, ChannelOptions>) -> Result<Self, ConfigError> {
        let built_in = [Self::MEMBERSHIP, Self::DEFAULT].map(|name| {
            let (name, options) = named.remove_entry(name).unwrap_or_else(|| {
                let name = ChannelName::new(name).expect("a constant name is a good one");
                (name, ChannelOptions::default())
            });
            (name, options)
        });
        if built_in[0].1.parallelism != 1 {
            return Err(ConfigError::MembershipLanes { given: built_in[0].1.parallelism });
        }
        for (option, given) in [
            ("monotonic", built_in[0].1.monotonic),
            ("compression", built_in[0].1.compression != Compression::None),
        ] {
            if given {
                return Err(ConfigError::MembershipOption { option });
            }
        }
        let channels: Vec<_> = built_in.into_iter().chain(named).collect();
        for (name, options) in &channels {
            if !(1..=MAX_PARALLELISM).contains(&usize::from(options.parallelism)) {
                let given = options.parallelism;
                return Err(ConfigError::Parallelism {
                    channel: name.clone(),
                    given,
                    most: MAX_PARALLELISM,
                });
            }
        }
        if channels.len() > MAX_CHANNELS {
            return Err(ConfigError::TooManyChannels { most: MAX_CHANNELS });
        }
        Ok(Self(channels))
    }
}

impl From<Channels> for BTreeMap<ChannelName, ChannelOptions> {
    fn from(channels: Channels) -> Self {
        channels.0.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn channel(name: &str, parallelism: u8) -> (ChannelName, ChannelOptions) {
        (ChannelName::new(name).unwrap(), ChannelOptions::lanes(parallelism))
    }

    #[test]
    fn the_built_in_channels_are_always_there_and_first() {
        let channels = Channels::new([channel("bulk", 4), channel("a", 1)]).unwrap();
        let names: Vec<_> = channels.iter().map(|(_, name, _)| name.as_str()).collect();
        assert_eq!(names, vec!["membership", "default", "a", "bulk"]);
        assert_eq!(channels.id("membership"), Some(ChannelId::MEMBERSHIP));
        assert_eq!(channels.id("default"), Some(ChannelId::DEFAULT));
        assert_eq!(channels.options(ChannelId(3)).unwrap().parallelism, 4);
        assert_eq!(channels.id("other"), None);
        assert_eq!(channels.name(ChannelId(9)), None);
    }

    #[test]
    fn the_default_channel_can_have_more_lanes_and_the_membership_channel_cannot() {
        let channels = Channels::new([channel("default", 3)]).unwrap();
        assert_eq!(channels.options(ChannelId::DEFAULT).unwrap().parallelism, 3);
        let error = Channels::new([channel("membership", 2)]).unwrap_err();
        assert_eq!(error, ConfigError::MembershipLanes { given: 2 });
    }

    #[test]
    fn the_membership_channel_has_no_options() {
        let plain = ChannelOptions::default();
        for (option, options) in [
            ("monotonic", ChannelOptions { monotonic: true, ..plain }),
            ("compression", ChannelOptions { compression: Compression::Lz4, ..plain }),
        ] {
            let name = ChannelName::new(Channels::MEMBERSHIP).unwrap();
            let error = Channels::new([(name, options)]).unwrap_err();
            assert_eq!(error, ConfigError::MembershipOption { option });
        }
    }

    #[test]
    fn bad_channels_are_refused_by_name() {
        let zero = Channels::new([channel("bulk", 0)]).unwrap_err();
        assert!(matches!(zero, ConfigError::Parallelism { given: 0, .. }));
        let many = Channels::new([channel("bulk", 65)]).unwrap_err();
        assert!(matches!(many, ConfigError::Parallelism { given: 65, .. }));
        let twice = Channels::new([channel("bulk", 1), channel("bulk", 2)]).unwrap_err();
        assert!(matches!(twice, ConfigError::ChannelTwice { .. }));
        let names = (0..40).map(|i| channel(&alloc::format!("c{i}"), 1));
        assert!(matches!(Channels::new(names), Err(ConfigError::TooManyChannels { .. })));
    }
}
