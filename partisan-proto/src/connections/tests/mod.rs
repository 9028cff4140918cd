//! Whole nodes with a trivial manager on a trivial network: each rule of connecting.

mod misuse;
pub(crate) mod net;
mod probes;
mod sessions;
