//! All that a node needs to know before it starts.

use std::path::{Path, PathBuf};

use partisan_proto::{Address, Config, Host, NodeName, Tag};
use serde::{Deserialize, Serialize};

use crate::driver_config::DriverConfig;
use crate::error::StartError;

/// All that a node needs to know before it starts.
///
/// A TOML file can hold it all; unknown keys are errors.
///
/// ```
/// let settings = partisan_tokio::Settings::from_toml(r#"
///     name = "store-1@10.0.0.1"
///     listen = ["10.0.0.1:9000", "[::1]:9000"]
///     state_dir = "/var/lib/store"
///     [config]
///     cluster = "shop"
///     [config.channels.bulk]
///     parallelism = 4
///     [driver]
///     lane_queue_bytes = 4194304
/// "#)?;
/// assert_eq!(settings.name.as_str(), "store-1@10.0.0.1");
/// # Ok::<(), partisan_tokio::StartError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The node's name, unique in its cluster.
    pub name: NodeName,
    /// Where to listen; port 0 lets the operating system choose. None: a node that only dials.
    /// Default `127.0.0.1:0`.
    #[serde(default = "loopback", with = "addresses_as_text")]
    pub listen: Vec<Address>,
    /// What to tell others instead of the addresses bound; needed behind address translation.
    #[serde(default, with = "addresses_as_text")]
    pub advertise: Vec<Address>,
    /// Labels told to others.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// The directory in which the membership is kept across restarts; created when missing.
    /// None: it is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<PathBuf>,
    /// The configuration of the protocol.
    #[serde(default)]
    pub config: Config,
    /// The limits of the driver.
    #[serde(default)]
    pub driver: DriverConfig,
}

fn loopback() -> Vec<Address> {
    let host = Host::Ip([127, 0, 0, 1].into());
    vec![Address { host, port: 0 }]
}

impl Settings {
    /// The defaults for a node of this name: a free port on the loopback interface.
    #[must_use]
    pub fn new(name: NodeName) -> Self {
        Self {
            name,
            listen: loopback(),
            advertise: Vec::new(),
            tags: Vec::new(),
            state_dir: None,
            config: Config::default(),
            driver: DriverConfig::default(),
        }
    }

    /// Listens at these addresses.
    #[must_use]
    pub fn listen(mut self, addresses: impl IntoIterator<Item = Address>) -> Self {
        self.listen = addresses.into_iter().collect();
        self
    }

    /// Tells others these addresses instead of those bound.
    #[must_use]
    pub fn advertise(mut self, addresses: impl IntoIterator<Item = Address>) -> Self {
        self.advertise = addresses.into_iter().collect();
        self
    }

    /// Tells others these tags.
    #[must_use]
    pub fn tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        self.tags = tags.into_iter().collect();
        self
    }

    /// Keeps the membership in this directory.
    #[must_use]
    pub fn state_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(directory.into());
        self
    }

    /// Uses this configuration of the protocol.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Uses these limits of the driver.
    #[must_use]
    pub fn driver(mut self, driver: DriverConfig) -> Self {
        self.driver = driver;
        self
    }

    /// Reads settings from TOML.
    ///
    /// # Errors
    /// [`StartError::Settings`], which tells the line, for a missing name, an unknown key or a bad
    /// value.
    pub fn from_toml(text: &str) -> Result<Self, StartError> {
        toml::from_str(text).map_err(|error| StartError::Settings(Box::new(error)))
    }

    /// Reads settings from a TOML file.
    ///
    /// # Errors
    /// [`StartError::SettingsFile`] when it cannot be read, else as [`Settings::from_toml`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, StartError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|error| StartError::SettingsFile { path: path.to_owned(), error })?;
        Self::from_toml(&text)
    }

    /// Checks every range and combination that can be checked without starting.
    ///
    /// # Errors
    /// [`StartError::Config`].
    pub fn validate(&self) -> Result<(), StartError> {
        self.config.validate()?;
        self.driver.validate()?;
        Ok(())
    }
}

mod addresses_as_text {
    use partisan_proto::Address;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(list: &[Address], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(list.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Address>, D::Error> {
        let read = |text: String| {
            let address: Result<Address, _> = text.parse();
            address.map_err(|error| de::Error::custom(format!("`{text}` is no address: {error}")))
        };
        let texts = Vec::<String>::deserialize(from)?;
        texts.into_iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_toml() {
        let settings = Settings::new(NodeName::new("a@h").unwrap())
            .listen(["[::1]:0".parse().unwrap()])
            .state_dir("/tmp/x");
        let text = toml::to_string(&settings).unwrap();
        assert_eq!(Settings::from_toml(&text).unwrap(), settings);
    }

    #[test]
    fn unknown_keys_and_bad_addresses_are_errors_that_name_them() {
        let error = |text: &str| Settings::from_toml(text).unwrap_err().to_string();
        assert!(error("name='a'\nlisten_on=[]").contains("listen_on"));
        assert!(error("name='a'\n[driver]\nlane_bytes=1").contains("lane_bytes"));
        assert!(error("name='a'\n[config]\nsecrets='x'").contains("secrets"));
        assert!(error("name='a'\nlisten=['::1:9']").contains("::1:9"));
        assert!(error("listen=[]").contains("name"));
        assert!(error("name='a'\n[config.connections]\ndial_timeout=5").contains("\"1500ms\""));
    }

    #[test]
    fn values_out_of_range_are_found_by_validate() {
        let mut settings = Settings::new(NodeName::new("a@h").unwrap());
        settings.driver.read_chunk = 0;
        let error = settings.validate().unwrap_err().to_string();
        assert!(error.contains("driver.read_chunk"), "{error}");
    }
}
