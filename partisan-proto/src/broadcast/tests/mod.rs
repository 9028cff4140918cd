//! Tests of broadcasts over several nodes.

mod crossing;
mod exchange;
mod hostile;
mod lives;
mod losses;
mod net;
mod rules;
mod slow;
mod stores;
mod trees;

use crate::config::{BroadcastConfig, Config};

/// The defaults, with some changes to broadcasts.
fn config(change: impl FnOnce(&mut BroadcastConfig)) -> Config {
    let mut config = Config::default();
    change(&mut config.broadcast);
    config.validate().unwrap();
    config
}
