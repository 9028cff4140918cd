//! The two places that every frame passes, whichever path it takes: where faults are injected and
//! messages traced.

use partisan_proto::wire::Frame;

use crate::connection::{Connection, Outgoing, Pressure, PutError};

/// Every frame that leaves passes here: those of the core and those of senders.
pub(crate) fn outgoing(
    connection: &Connection,
    frame: &Outgoing<'_>,
) -> Result<Pressure, PutError> {
    connection.queue.put(frame)
}

/// Every frame that arrives passes here: those for the core and those for mailboxes.
pub(crate) fn incoming(_connection: &Connection, frame: Frame) -> Frame {
    frame
}
