//! One connection, and a stranger at its other end who may send any bytes.

use bytes::BytesMut;
use partisan_proto::wire::{Decoded, decode};
use partisan_proto::{
    Action, CloseReason, Command, ConnectionId, Contact, Duration, Event, Instant, Ticket,
};

use crate::watch::{Watched, address};

/// The first byte says whether the node dialled (bit 0) and has a secret (bit 1); the others are
/// what the stranger sends. Then the handshake's deadline passes.
pub fn handshake(data: &[u8]) {
    let Some((flags, stream)) = data.split_first() else {
        return;
    };
    let (mut node, _) = Watched::start("a", 1, flags & 2 != 0);
    let connection = if flags & 1 == 0 { accept(&mut node) } else { dial(&mut node) };
    let Some(connection) = connection else {
        return;
    };
    let before = node.node.instance();
    let mut buffer = BytesMut::from(stream);
    let mut now = Instant::ZERO;
    while node.is_open(connection) {
        let event = match decode(&mut buffer, 1 << 20) {
            Ok(Decoded::Frame(frame)) => Event::Received { connection, frame },
            Ok(Decoded::Skipped) => continue,
            Ok(Decoded::Incomplete(_)) => break,
            Err(error) => {
                let reason = CloseReason::Malformed(error);
                Event::Closed { connection, reason }
            }
        };
        now += Duration::from_millis(1);
        node.handle(now, event);
    }
    let end = now + Duration::from_secs(60);
    while let Some(at) = node.wake_at().filter(|at| *at <= end) {
        now = now.max(at);
        node.handle(now, Event::Wake);
    }
    // Who dialled us without the secret can change nothing about us.
    if flags & 3 == 2 {
        assert_eq!(node.node.instance(), before, "a stranger ended our life");
        assert_eq!(node.node.members().len(), 1, "a stranger became a member");
    }
}

fn accept(node: &mut Watched) -> Option<ConnectionId> {
    let connection = node.fresh_connection();
    node.handle(Instant::ZERO, Event::Accepted { connection });
    Some(connection)
}

/// Has the node dial somebody; `None` if it does not.
fn dial(node: &mut Watched) -> Option<ConnectionId> {
    let command = Command::Join(Contact::at(address(2)));
    let ticket = Ticket(1);
    let actions = node.handle(Instant::ZERO, Event::Command { ticket, command });
    let connection = actions.iter().find_map(|action| match action {
        Action::Open { connection, .. } => Some(*connection),
        _ => None,
    })?;
    node.handle(Instant::ZERO, Event::Opened { connection });
    Some(connection)
}
