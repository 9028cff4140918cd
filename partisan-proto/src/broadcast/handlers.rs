//! The handlers of a node, by identifier.

use alloc::vec::Vec;

use crate::config::{BroadcastConfig, Config, HandlerOptions, StoreConfig};
use crate::id::{ChannelId, HandlerId, HandlerName};

/// One handler, as configured.
#[derive(Debug)]
pub(super) struct Handler {
    pub(super) id: HandlerId,
    pub(super) channel: ChannelId,
    pub(super) options: HandlerOptions,
}

impl Handler {
    /// Whether the application keeps its messages.
    pub(super) fn keeps(&self) -> bool {
        self.options.store == StoreConfig::Application
    }
}

/// The handlers, `default` among them, sorted by identifier.
#[derive(Debug)]
pub(super) struct Handlers(Vec<Handler>);

impl Handlers {
    pub(super) fn new(config: &Config) -> Self {
        let default = HandlerName::new(BroadcastConfig::DEFAULT_HANDLER);
        let default = default.expect("a constant name is a good one");
        let given = config.broadcast.handlers.iter().filter(|(name, _)| **name != default);
        let options = config.broadcast.handlers.get(&default).cloned().unwrap_or_default();
        let all = given.map(|(name, options)| (name, options.clone())).chain([(&default, options)]);
        let mut handlers: Vec<_> = all
            .map(|(name, options)| {
                // Validated; and nothing is lost where it was not.
                let channel = config.channels.id(options.channel.as_str());
                let channel = channel.unwrap_or(ChannelId::DEFAULT);
                Handler { id: HandlerId::of(name), channel, options }
            })
            .collect();
        handlers.sort_by_key(|handler| handler.id);
        Self(handlers)
    }

    pub(super) fn get(&self, id: HandlerId) -> Option<&Handler> {
        let place = self.0.binary_search_by_key(&id, |handler| handler.id).ok()?;
        Some(&self.0[place])
    }

    /// The channel for messages of a handler, the default one for those that this node lacks.
    pub(super) fn channel(&self, id: HandlerId) -> ChannelId {
        self.get(id).map_or(ChannelId::DEFAULT, |handler| handler.channel)
    }

    /// Those that keep their messages.
    pub(super) fn keepers(&self) -> impl Iterator<Item = &Handler> {
        self.0.iter().filter(|handler| handler.keeps())
    }
}
