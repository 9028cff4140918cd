//! Writes one connection: whole batches, control frames first, with vectored writes.

use std::io::{self, IoSlice};

use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::batch::{Batch, MAX_SLICES};
use super::{Connection, Surroundings};
use crate::event_loop::LoopEvent;

/// The state of writing one connection. Giving up [`Writer::run`] at any point loses nothing.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    control: Batch,
    app: Batch,
}

impl Writer {
    /// Writes what is queued as it comes, until it fails.
    pub(crate) async fn run(
        &mut self,
        connection: &Connection,
        to: &mut (impl AsyncWrite + Unpin),
        around: &Surroundings,
    ) -> io::Error {
        loop {
            if let Err(error) = self.flush(connection, to).await {
                return error;
            }
            if connection.queue.has_drained()
                && let Ok(slot) = around.events.reserve().await
            {
                let connection_id = connection.id;
                connection.queue.drained(|| slot.send(LoopEvent::Drained(connection_id)));
            }
            connection.queue.ready().await;
        }
    }

    /// Writes all that is queued.
    pub(crate) async fn flush(
        &mut self,
        connection: &Connection,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        loop {
            write(&mut self.control, to, |_, _| {}).await?;
            let written = |bytes, permits| connection.queue.written(bytes, permits);
            write(&mut self.app, to, written).await?;
            if !connection.queue.take(&mut self.control, &mut self.app) {
                return Ok(());
            }
            if self.app.is_empty() {
                // Only the protocol speaks: what an earlier burst has left is not needed.
                self.app.clear();
            }
        }
    }
}

/// Writes the rest of a batch and empties it, telling `written` of bytes and of room given back.
async fn write(
    batch: &mut Batch,
    to: &mut (impl AsyncWrite + Unpin),
    written: impl Fn(usize, usize),
) -> io::Result<()> {
    while !batch.is_written() {
        let count = {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let used = batch.slices(&mut slices);
            to.write_vectored(&slices[..used]).await?
        };
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        batch.advance(count);
        let room = batch.permits.min(count);
        batch.permits -= room;
        written(count, room);
    }
    if batch.permits > 0 {
        written(0, batch.permits);
    }
    if !batch.is_empty() {
        batch.clear();
    }
    Ok(())
}
