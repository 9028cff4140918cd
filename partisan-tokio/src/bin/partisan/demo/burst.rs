//! A burst of numbered messages on the channel `bulk`: nothing is lost, each key stays in order.

use std::collections::BTreeMap;
use std::time::Instant;

use partisan_tokio::{ChannelId, Mailbox, Node, NodeId, SendOptions};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::cast::Cast;
use super::stage::{Stage, number, span};
use super::{Broken, DEADLINE};

const KEYS: u64 = 8;
const MESSAGES_A_KEY: u64 = 250;

/// One message of a stream that counts from 0.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Numbered {
    pub(crate) key: u64,
    pub(crate) number: u64,
}

/// Sends `messages` of each key to each receiver, all keys in turn.
pub(crate) async fn send_numbered(
    node: Node,
    receivers: Vec<NodeId>,
    channel: ChannelId,
    messages: u64,
) -> Result<(), Broken> {
    for number in 0..messages {
        for key in 0..KEYS {
            let options = SendOptions::default().channel(channel).key(key);
            for to in &receivers {
                node.send(*to, &Numbered { key, number }, &options).await?;
            }
        }
    }
    Ok(())
}

/// Takes `messages` of each key from each sender, and sees that they come in order.
pub(crate) async fn receive_numbered(
    short: &'static str,
    mut inbox: Mailbox,
    channel: ChannelId,
    senders: usize,
    messages: u64,
) -> Result<u64, Broken> {
    let expected = senders as u64 * KEYS * messages;
    let mut next: BTreeMap<(NodeId, u64), u64> = BTreeMap::new();
    for received in 0..expected {
        let message = tokio::time::timeout(DEADLINE, inbox.recv()).await;
        let message = message
            .map_err(|_| Broken(format!("{short} got {received} of {expected} messages")))?
            .ok_or_else(|| Broken(format!("{short} has stopped")))?;
        let Numbered { key, number } = message.decode()?;
        let wanted = next.entry((message.from, key)).or_default();
        if number != *wanted || message.channel != channel {
            return Err(Broken(format!("{short} got message {number} of key {key}, not {wanted}")));
        }
        *wanted += 1;
    }
    if inbox.try_recv().is_some() {
        return Err(Broken(format!("{short} got more messages than were sent")));
    }
    Ok(expected)
}

/// All send to all others at once.
pub(crate) async fn keyed(stage: &mut Stage, cast: &Cast) -> Result<(), Broken> {
    stage.act("All send to all at once, on channel bulk").await;
    let channel = cast.bulk()?;
    let ids: Vec<NodeId> = cast.living().map(|actor| actor.node.id()).collect();
    let mut receiving = JoinSet::new();
    for actor in cast.living() {
        let inbox = actor.node.inbox()?;
        let senders = ids.len() - 1;
        receiving.spawn(receive_numbered(actor.short, inbox, channel, senders, MESSAGES_A_KEY));
    }
    let start = Instant::now();
    let mut sending = JoinSet::new();
    for actor in cast.living() {
        let others = ids.iter().copied().filter(|id| *id != actor.node.id()).collect();
        sending.spawn(send_numbered(actor.node.clone(), others, channel, MESSAGES_A_KEY));
    }
    while let Some(sent) = sending.join_next().await {
        sent??;
    }
    let mut total = 0;
    while let Some(received) = receiving.join_next().await {
        total += received??;
    }
    let took = start.elapsed();
    let rate = (total as f64 / took.as_secs_f64()) as u64;
    stage.say(&format!(
        "{} messages in {}: {} a second, {KEYS} keys on 2 lanes to each peer",
        number(total),
        span(took),
        number(rate)
    ));
    stage.kept(&format!("all {} arrived once, in the order of their keys", number(total)));
    stage.pause(500).await;
    Ok(())
}
