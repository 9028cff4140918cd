//! Whole nodes with a trivial manager on a trivial network: each rule of connecting.

mod misuse;
mod net;
mod probes;
mod sessions;
