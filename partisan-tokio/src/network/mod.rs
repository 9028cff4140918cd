//! Opening and accepting TCP connections.

pub(crate) mod dialler;
pub(crate) mod listener;
mod socket;
