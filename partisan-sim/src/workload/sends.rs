//! The messages from inbox to inbox of a run.

use std::vec;

use partisan_proto::{ChannelId, Duration, Instant};

use super::{Load, Work, draw_pair};
use crate::draw::{Label, Stream};

/// How many numbers of the stream each takes.
const DRAWS: u64 = 7;

/// The sends of a run, in order of time.
///
/// Kept is only their order: what each is like is drawn when its turn comes. There is one for each
/// node and second, and of a large cluster they would be a good part of the memory.
#[derive(Clone, Debug)]
pub struct Sends {
    stream: Stream,
    nodes: usize,
    channels: u8,
    span: Duration,
    left: vec::IntoIter<u32>,
}

impl Sends {
    /// Those of a run of `nodes` nodes with `channels` channels that lasts for `span`.
    #[must_use]
    pub fn new(seed: u64, nodes: usize, channels: u8, span: Duration, load: Load) -> Self {
        let count = match load.sends() && nodes >= 2 {
            true => nodes * (span.as_secs() as usize).clamp(1, 100),
            false => 0,
        };
        let stream = Stream::new(seed, Label::Work, 0);
        let none = Vec::new().into_iter();
        let mut sends = Self { stream, nodes, channels, span, left: none };
        let mut order: Vec<_> = (0..count as u32).collect();
        order.sort_by_cached_key(|number| sends.time(&mut sends.stream_of(*number)));
        sends.left = order.into_iter();
        sends
    }

    /// What the send with this number is drawn from.
    fn stream_of(&self, number: u32) -> Stream {
        self.stream.clone().after(u64::from(number) * DRAWS)
    }

    fn time(&self, stream: &mut Stream) -> Instant {
        Instant::ZERO + stream.span(Duration::ZERO, self.span)
    }

    fn draw(&self, stream: &mut Stream) -> (Instant, Work) {
        let at = self.time(stream);
        let (from, to) = draw_pair(stream, self.nodes);
        // Not on the membership channel.
        let channel = ChannelId(1 + stream.below(usize::from(self.channels) - 1) as u8);
        let (key, count) = (stream.below(4) as u64, 1 + stream.below(5) as u32);
        let key = (!stream.one_in(3)).then_some(key);
        (at, Work::Send { from, to, channel, key, relay: false, count })
    }
}

impl Iterator for Sends {
    type Item = (Instant, Work);

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.left.next()?;
        Some(self.draw(&mut self.stream_of(number)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl ExactSizeIterator for Sends {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_drawn_as_if_all_were_drawn_in_a_row() {
        let sends = Sends::new(7, 40, 3, Duration::from_secs(20), Load::Traffic);
        assert_eq!(sends.len(), 800);
        let mut stream = sends.stream.clone();
        let mut in_a_row: Vec<_> = (0..800).map(|_| sends.draw(&mut stream)).collect();
        in_a_row.sort_by_key(|(at, _)| *at);
        assert_eq!(sends.collect::<Vec<_>>(), in_a_row);
    }

    #[test]
    fn nobody_sends_without_a_load_of_messages_or_another_node() {
        let count = |nodes, load| Sends::new(7, nodes, 3, Duration::from_secs(20), load).len();
        assert_eq!((count(40, Load::None), count(40, Load::Broadcast)), (0, 0));
        assert_eq!((count(1, Load::Churn), count(2, Load::Churn)), (0, 40));
    }
}
