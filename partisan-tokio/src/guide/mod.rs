//! Guides: how to write applications.
//!
//! [`newcomers`] is for those who never wrote Erlang, [`erlang`] for those who did.

pub mod erlang {
    #![doc = include_str!("erlang.md")]
}

pub mod newcomers {
    #![doc = include_str!("newcomers.md")]
}
