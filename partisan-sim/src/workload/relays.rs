//! Relayed messages and injected partitions.

use partisan_proto::{ChannelId, Duration, Instant};

use super::{Load, Work, draw_pair};
use crate::draw::{Label, Stream};

/// How far an injected partition spreads at most.
const FAR: usize = 4;

/// Relayed messages and injected partitions of a run of `(seed, nodes, channels)` that lasts for
/// `span`: as a load of their own, and besides other work where views are partial or members come
/// and go.
#[must_use]
pub fn draw_relays(
    (seed, nodes, channels): (u64, usize, u8),
    span: Duration,
    load: Load,
    partial: bool,
) -> Vec<(Instant, Work)> {
    let mut plan = Vec::new();
    if load == Load::None || nodes < 2 {
        return plan;
    }
    let many = nodes * (span.as_secs() as usize).clamp(1, 100);
    let count = match load {
        Load::Relay => many,
        _ if partial => many / 3,
        _ => many / 12,
    };
    let mut stream = Stream::new(seed, Label::Work, 2);
    for _ in 0..count {
        let at = Instant::ZERO + stream.span(Duration::ZERO, span);
        plan.push((at, draw_relay(&mut stream, nodes, channels)));
    }
    let mut stream = Stream::new(seed, Label::Work, 3);
    if load != Load::Traffic && stream.one_in(3) {
        for _ in 0..1 + stream.below(3) {
            plan.extend(draw_partition(&mut stream, nodes, span));
        }
    }
    plan
}

fn draw_relay(stream: &mut Stream, nodes: usize, channels: u8) -> Work {
    let (from, to) = draw_pair(stream, nodes);
    let channel = ChannelId(1 + stream.below(usize::from(channels) - 1) as u8);
    let key = (!stream.one_in(3)).then_some(stream.below(4) as u64);
    let count = 1 + stream.below(3) as u32;
    Work::Send { from, to, channel, key, relay: true, count }
}

/// One that is injected, and ended by somebody some time later.
fn draw_partition(stream: &mut Stream, nodes: usize, span: Duration) -> [(Instant, Work); 2] {
    let (node, by) = draw_pair(stream, nodes);
    let at = Instant::ZERO + stream.span(Duration::ZERO, span);
    let end = at + stream.span(Duration::from_millis(1), Duration::from_secs(20));
    let ttl = stream.below(FAR) as u8;
    let by = if stream.one_in(3) { node } else { by };
    let resolve = Work::ResolvePartitions { by, of: node };
    [(at, Work::InjectPartition { node, ttl }), (end, resolve)]
}
