//! What the measurements ask of whatever carries messages.

use std::future::Future;

use bytes::Bytes;

/// The most pingers at once.
pub(crate) const PINGERS: usize = 16;
const PING: u8 = 1;

/// A way to the peer that messages are sent by, one clone for each sender.
pub(crate) trait Link: Clone + Send + 'static {
    /// Tells a clone which of the senders it serves.
    fn number(&mut self, number: usize);
    /// Queues a message, waiting for room.
    fn send(&mut self, payload: Bytes) -> impl Future<Output = ()> + Send;
}

/// A way to the peer and back.
pub(crate) trait Ping: Send + 'static {
    /// Sends a message and waits for its echo.
    fn ping(&mut self, payload: Bytes) -> impl Future<Output = ()> + Send;
}

/// A message that is only counted.
pub(crate) fn plain(size: usize) -> Bytes {
    vec![0; size].into()
}

/// A message that is echoed to a pinger.
pub(crate) fn ping(size: usize, pinger: usize) -> Bytes {
    let mut payload = vec![0; size];
    payload[0] = PING;
    payload[1] = u8::try_from(pinger).expect("few pingers");
    payload.into()
}

pub(crate) fn is_ping(payload: &[u8]) -> bool {
    payload[0] == PING
}

pub(crate) fn pinger(payload: &[u8]) -> usize {
    usize::from(payload[1])
}
