//! What can go wrong with a running node, and before.

use std::io;
use std::path::PathBuf;

use partisan_proto::error::{NameError, SpecError};
use partisan_proto::{Address, CommandError, ConfigError};
use thiserror::Error;

/// Why a node did not start. Nothing of it is left running.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The settings are no valid TOML, or hold an unknown key or a bad value.
    #[error("the settings cannot be read: {0}")]
    Settings(Box<toml::de::Error>),
    /// The settings file cannot be read.
    #[error("the settings file {} cannot be read: {error}", path.display())]
    SettingsFile {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// A value is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What the node would tell about itself is not allowed.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Somebody else listens there.
    #[error("{address} is in use; choose another port, or 0 for any free one")]
    AddressInUse {
        /// The address.
        address: Address,
    },
    /// The host name of a listen address does not resolve.
    #[error("the host of {address} does not resolve; write an IP address of this machine")]
    Unresolved {
        /// The address.
        address: Address,
    },
    /// The operating system refuses to listen there.
    #[error("cannot listen at {address}: {error}; use an address of this machine")]
    Bind {
        /// The address.
        address: Address,
        /// What it says.
        error: io::Error,
    },
    /// Bound to all interfaces, so that nobody knows what to tell others.
    #[error(
        "{address} means every interface, which others cannot dial, and the host part of the \
         node's name does not resolve; set `advertise` to the address that others reach"
    )]
    NothingToAdvertise {
        /// The address bound.
        address: Address,
    },
    /// The state directory or file cannot be used.
    #[error("the state in {} cannot be used: {error}; check the directory's permissions",
        path.display())]
    State {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// The operating system gave no random numbers.
    #[error("the operating system gave no random numbers: {0}")]
    Random(getrandom::Error),
}

/// Why a command to a running node failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The node said no.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The node has stopped.
    #[error("the node has stopped; start it again to use it")]
    Stopped,
    /// The text is no name of a destination.
    #[error("a destination needs a name of 1 to 255 bytes")]
    BadDestination,
    /// A mailbox, a function or the like has the name already.
    #[error("`{0}` is registered already; remove it first or choose another name")]
    Registered(String),
    /// The text is no name of a function or a process.
    #[error(transparent)]
    BadName(NameError),
    /// The name is one of those that the node keeps for itself
    /// ([`ProcessName::RESERVED`](partisan_proto::ProcessName::RESERVED)).
    #[error("names that begin with `partisan.` are the node's own; choose another, not `{0}`")]
    ReservedName(String),
    /// No label of causal delivery has this name.
    #[error("label `{0}` is not configured here; add it to `delivery.labels`, on every node")]
    UnknownLabel(String),
    /// No handler of broadcasts has this name.
    #[error("handler `{0}` is not configured here; add it to `broadcast.handlers`")]
    UnknownHandler(String),
    /// The node itself keeps the messages of this handler of broadcasts.
    #[error("handler `{0}` keeps no messages; configure it with store = \"application\"")]
    NotAStore(String),
    /// The inbox has been taken already.
    #[error("the inbox is taken already; share its messages or drop the other one first")]
    InboxTaken,
    /// It did not become true in time.
    #[error("not so within the deadline")]
    Deadline,
}

/// Why a message was not queued.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no way to the receiver, the message is too long, or, with `try_send`, the queue is
    /// full ([`CommandError::QueueFull`]).
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The node has stopped.
    #[error("the node has stopped; start it again to use it")]
    Stopped,
    /// The message does not serialise.
    #[error("the message does not serialise: {0}")]
    Encode(postcard::Error),
    /// No handler of broadcasts has this name.
    #[error("handler `{0}` is not configured here; add it to `broadcast.handlers`")]
    UnknownHandler(String),
    /// It is to be sent at a time that the clock does not reach.
    #[error("that is centuries ahead, and no clock counts so far; send it sooner")]
    TooFar,
}

impl SendError {
    /// Whether the queue was full: the message may be sent again later.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Command(CommandError::QueueFull(_)))
    }
}
